import json
from itertools import count
from typing import Any

import pytest

from llmproxy_grpc.errors import UpstreamProtocolError, UpstreamServerError, UpstreamStreamBroken
from llmproxy_grpc.messages import (
    Citation,
    FinishReason,
    ProviderResponse,
    ReasoningPart,
    RefusalPart,
    TextPart,
    TokenLogprob,
    ToolCallPart,
    Usage,
)
from llmproxy_grpc.providers.chat_completions.expectation import Expectation
from llmproxy_grpc.providers.chat_completions.history import CUSTOM_CALL
from llmproxy_grpc.providers.chat_completions.response import ResponseReader
from llmproxy_grpc.providers.chat_completions.shapes import decode_answer
from llmproxy_grpc.providers.events import events_of
from tests.providers.conversations import assembled
from tests.unit.providers.chat_completions.chunks import delta
from tests.unit.providers.chat_completions.chunks import parts as streamed


def read(answer: Any, *, request_id: str = "", **expected: bool) -> ProviderResponse:
    numbers = count()
    expectation = Expectation(model="test-model", **expected)
    reader = ResponseReader(expectation, new_id=lambda: f"call_new{next(numbers)}")
    data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    return reader.read(decode_answer(data), request_id=request_id)


def parts(message: dict[str, Any], **options: Any) -> tuple[Any, ...]:
    return read({"choices": [{"message": message, "finish_reason": "stop"}]}, **options).candidates[0].message.parts


def call(name: str = "f", arguments: Any = "{}", **fields: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "arguments": arguments}, **fields}


def test_nulls_and_missing_fields_are_nothing():
    response = read(
        {
            "id": None,
            "created": 1.5,
            "usage": None,
            "choices": [
                {
                    "index": None,
                    "logprobs": None,
                    "finish_reason": "stop",
                    "message": {
                        "role": None,
                        "content": None,
                        "tool_calls": None,
                        "refusal": None,
                        "annotations": None,
                        "function_call": None,
                    },
                }
            ],
        }
    )
    assert response.candidates[0].message.parts == ()
    assert response.usage is None


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ({"content": "The answ"}, UpstreamStreamBroken),
        ({"content": ""}, UpstreamServerError),
        ({"tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "{"}}]}, UpstreamStreamBroken),
        (None, UpstreamServerError),
    ],
)
def test_an_answer_that_failed_is_none_as_in_a_stream(message, kind):
    whole = {"index": 0, "message": {"content": "yes"}, "finish_reason": "stop"}
    failed = {"index": 1, "message": message, "finish_reason": "error"}
    choices = [failed] if kind is UpstreamServerError else [whole, failed]
    with pytest.raises(kind) as caught:
        read({"choices": choices, "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}})
    assert caught.value.usage == Usage(5, 2, 7)


def test_text_is_text():
    assert parts({"role": "assistant", "content": "Hé 🎉"}) == (TextPart(text="Hé 🎉"),)


def test_parts_come_in_the_order_of_thinking_text_refusal_and_calls():
    assert parts(
        {
            "tool_calls": [call(id="c1")],
            "refusal": "No",
            "content": "text",
            "reasoning_content": "hm",
            "reasoning": "hm",
        }
    ) == (
        ReasoningPart(text="hm"),
        TextPart(text="text"),
        RefusalPart(text="No"),
        ToolCallPart(id="c1", name="f", arguments_json="{}"),
    )


def test_thinking_is_left_out_if_it_is_not_wanted():
    assert parts({"content": "text", "reasoning": "hm"}, show_thinking=False) == (TextPart(text="text"),)


def test_content_may_be_a_list():
    content = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "h"}, {"type": "text", "text": "m"}]},
        {"type": "text", "text": "a"},
        {"type": "reference", "reference_ids": [1]},
        "b",
        7,
        {"type": "text", "text": None},
    ]
    said = TextPart(text="ab", citations=(Citation(uri="1"),))
    assert parts({"content": content}) == (ReasoningPart(text="hm"), said)
    assert parts({"content": content}, show_thinking=False) == (said,)
    assert parts({"content": []}) == ()


def test_arguments_are_kept_to_the_byte():
    arguments = '{"a": 1.0 , "b":9007199254740993, broken'
    assert parts({"tool_calls": [call(arguments=arguments, id="c")]})[0].arguments_json == arguments


def test_arguments_that_came_as_an_object_are_written_as_json():
    assert parts({"tool_calls": [call(arguments={"a": [1, 2.5]}, id="c")]})[0].arguments_json == '{"a": [1, 2.5]}'


@pytest.mark.parametrize("absent", [{}, {"id": ""}, {"id": None}])
def test_a_call_without_an_id_gets_one(absent):
    assert parts({"tool_calls": [call(**absent), call(**absent)]}) == (
        ToolCallPart(id="call_new0", name="f", arguments_json="{}"),
        ToolCallPart(id="call_new1", name="f", arguments_json="{}"),
    )


def test_two_calls_never_share_an_id():
    first, second = parts({"tool_calls": [call(id="c"), call(id="c")]})
    assert (first.id, second.id) == ("c", "call_new0")


def test_a_number_may_be_an_id():
    assert parts({"tool_calls": [call(id=7)]})[0].id == "7"


def test_a_custom_call_keeps_its_text_and_says_what_it_is():
    assert parts({"tool_calls": [{"id": "c", "type": "custom", "custom": {"name": "sh", "input": "ls"}}]}) == (
        ToolCallPart(id="c", name="sh", arguments_json="ls", continuity_token=CUSTOM_CALL),
    )


def test_the_legacy_call_counts_only_where_no_other_came():
    legacy = {"name": "f", "arguments": "{}"}
    assert parts({"function_call": legacy}) == (ToolCallPart(id="call_new0", name="f", arguments_json="{}"),)
    assert len(parts({"function_call": legacy, "tool_calls": [call(id="c")]})) == 1


def test_sources_stand_with_the_text():
    annotations = [
        {
            "type": "url_citation",
            "url_citation": {"url": "https://example.test", "title": "T", "start_index": 1, "end_index": 3},
        },
        {"type": "file_citation"},
        None,
        {"url_citation": {"url": None, "start_index": -4, "end_index": "x"}},
    ]
    assert parts({"content": "text", "annotations": annotations})[0].citations == (
        Citation("https://example.test", "T", 1, 3),
        Citation(),
    )


def test_lone_surrogates_become_the_replacement_character():
    text, tool_call = parts({"content": "a\ud83d", "tool_calls": [call(id="c", arguments="\udc00")]})
    assert text.text == "a\ufffd"
    assert tool_call.arguments_json == "\ufffd"


def test_blank_lines_may_stand_before_the_json():
    assert read(b'\n\n  \n{"choices":[{"message":{"content":"x"}}]}').candidates[0].message.parts


@pytest.mark.parametrize(("index", "number"), [(-1, 0), (2**40, 2**31 - 1), (1.9, 1)])
def test_the_number_of_a_candidate_fits_the_api(index, number):
    assert read({"choices": [{"index": index, "message": {"content": "x"}}]}).candidates[0].index == number


def test_several_candidates_keep_their_numbers():
    choices = [{"index": 1.0, "message": {"content": "b"}}, {"index": 0, "message": {"content": "a"}}]
    assert [candidate.index for candidate in read({"choices": choices}).candidates] == [1, 0]
    unnumbered = [{"message": {"content": "a"}}, {"message": {"content": "b"}}]
    assert [candidate.index for candidate in read({"choices": unnumbered}).candidates] == [0, 1]


def test_a_matched_stop_sequence_is_told():
    (candidate,) = read(
        {"choices": [{"message": {"content": "x"}, "finish_reason": "stop", "stop_reason": "END"}]}
    ).candidates
    assert (candidate.finish_reason, candidate.matched_stop_sequence) == (FinishReason.STOP_SEQUENCE, "END")


@pytest.mark.parametrize("choices", [None, [], [{}], [{"message": None}]])
def test_an_answer_without_a_candidate_cannot_be_read(choices):
    with pytest.raises(UpstreamProtocolError):
        read({"choices": choices})


def test_log_probabilities_come_with_bytes_and_alternatives():
    content = [
        {
            "token": "é",
            "logprob": -0.5,
            "bytes": [195, 169],
            "top_logprobs": [{"token": "e", "logprob": -1, "bytes": None}, {"token": "x", "logprob": None}],
        },
        {"token": None, "logprob": -2.0, "bytes": [300]},
        None,
    ]
    (candidate,) = read({"choices": [{"message": {"content": "é"}, "logprobs": {"content": content}}]}).candidates
    assert candidate.logprobs == (
        TokenLogprob("é", -0.5, b"\xc3\xa9", (TokenLogprob("e", -1.0),)),
        TokenLogprob("", -2.0),
    )


def test_log_probabilities_may_come_as_parallel_lists():
    raw = {"tokens": ["a", "b", None], "token_logprobs": [None, -1.5, -2.0]}
    (candidate,) = read({"choices": [{"message": {"content": "ab"}, "logprobs": raw}]}).candidates
    assert candidate.logprobs == (TokenLogprob("b", -1.5),)


def test_usage_of_one_candidate_is_not_that_of_several():
    choices = [{"index": index, "message": {"content": "x"}, "finish_reason": "stop"} for index in range(2)]
    said = {"choices": choices, "usage": {"prompt_tokens": 3, "completion_tokens": 4}}
    assert read(said).usage == Usage(3, 4, 7)
    assert read(said, counts_candidates=False).usage is None
    assert read({**said, "choices": choices[:1]}, counts_candidates=False).usage == Usage(3, 4, 7)


def test_usage_is_found_wherever_it_stands():
    counts = {"prompt_tokens": 1, "completion_tokens": 2}
    choice = {"message": {"content": "x"}}
    for answer in (
        {"choices": [choice], "usage": counts},
        {"choices": [choice], "x_groq": {"usage": counts}},
        {"choices": [{**choice, "usage": counts}]},
    ):
        assert read(answer).usage == Usage(1, 2, 3)


def test_the_id_of_the_answer_stands_in_for_that_of_the_request():
    answer = {"id": "chatcmpl-9", "choices": [{"message": {"content": "x"}}]}
    assert read(answer).upstream_request_id == "chatcmpl-9"
    assert read(answer, request_id="req-1").upstream_request_id == "req-1"


@pytest.mark.parametrize("odd", ["a\ud83d", "x" * 1000, "a\nb", 7.5, None, ["x"]])
def test_an_id_that_looks_like_none_is_none(odd):
    answer = {"id": odd, "choices": [{"message": {"content": "x"}, "finish_reason": "stop"}]}
    assert read(answer).upstream_request_id == ""


def test_metadata_says_what_differs():
    answer = {
        "model": "test-model",
        "system_fingerprint": None,
        "service_tier": "flex",
        "choices": [{"message": {"content": "x"}}],
    }
    assert read(answer).provider_metadata == {"service_tier": "flex"}
    assert read({**answer, "model": "test-model-0613"}).provider_metadata["model"] == "test-model-0613"


def test_the_events_of_an_answer_add_up_to_it():
    response = read(
        {
            "choices": [
                {
                    "message": {
                        "reasoning": "hm",
                        "content": "text",
                        "refusal": "no",
                        "tool_calls": [call(id="c", arguments='{"a":1}')],
                    },
                    "finish_reason": "stop",
                    "logprobs": {"content": [{"token": "text", "logprob": -1.0}]},
                },
                {"message": {"content": ""}, "finish_reason": "length"},
            ],
            "usage": {"prompt_tokens": 1, "completion_tokens": 2},
        }
    )
    assert assembled(events_of(response)) == response


def test_log_probabilities_of_several_texts_are_told_once():
    content = [{"type": "text", "text": "a"}, {"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "b"}]
    logprobs = {"content": [{"token": "a", "logprob": -1.0}, {"token": "b", "logprob": -2.0}]}
    response = read({"choices": [{"message": {"content": content}, "finish_reason": "stop", "logprobs": logprobs}]})
    assert [type(part) for part in response.candidates[0].message.parts] == [TextPart, ReasoningPart, TextPart]
    assert len(response.candidates[0].logprobs) == 2
    assert assembled(events_of(response)) == response


@pytest.mark.parametrize("message", [{"refusal": "no"}, {"reasoning": "hm", "tool_calls": [call(arguments="{}")]}])
def test_log_probabilities_are_told_where_no_text_is_as_well(message):
    logprobs = {"content": [{"token": "a", "logprob": -1.0}]}
    response = read({"choices": [{"message": message, "finish_reason": "stop", "logprobs": logprobs}]})
    assert assembled(events_of(response)) == response


@pytest.mark.parametrize("raw", ["x", [], {"content": "x"}, {"content": [{"token": "a", "logprob": True}]}])
def test_log_probabilities_in_no_known_shape_are_none(raw):
    (candidate,) = read({"choices": [{"message": {"content": "a"}, "logprobs": raw}]}).candidates
    assert candidate.logprobs == ()


@pytest.mark.parametrize(
    "message",
    [
        {"content": None, "annotations": [{"type": "url_citation", "url_citation": {"url": "https://example.test"}}]},
        {"content": [{"type": "thinking", "thinking": "hm"}, {"type": "reference", "reference_ids": [1]}]},
    ],
)
@pytest.mark.parametrize("shown", [True, False])
def test_sources_of_an_answer_without_text_are_not_lost_in_one_piece_either(message, shown):
    whole = parts(message, show_thinking=shown)
    assert whole[-1].citations
    assert whole == streamed(delta(**message), show_thinking=shown)


def test_annotations_in_no_known_shape_are_none():
    assert parts({"content": "x", "annotations": "x"}) == (TextPart(text="x"),)


def test_thinking_in_a_list_may_be_a_plain_text():
    assert parts({"content": [{"type": "thinking", "thinking": "hm"}]}) == (ReasoningPart(text="hm"),)
