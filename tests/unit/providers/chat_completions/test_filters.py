"""What Azure's filters found: whole and piece by piece, and no more than anybody could want."""

import json
from typing import Any

import pytest

from llmproxy_grpc.messages import UpstreamEnd
from llmproxy_grpc.providers.chat_completions.expectation import Expectation
from llmproxy_grpc.providers.chat_completions.filters import Filters, in_prompts
from llmproxy_grpc.providers.chat_completions.response import ResponseReader
from llmproxy_grpc.providers.chat_completions.shapes import decode_answer
from llmproxy_grpc.providers.chat_completions.stream import ChunkDecoder
from llmproxy_grpc.providers.sse import ServerSentEvent

SAFE = {"filtered": False, "severity": "safe"}
LOW = {"filtered": False, "severity": "low"}
HATE = {"filtered": True, "severity": "high"}
CODE = {"detected": True, "filtered": False, "citation": {"URL": "https://example.com/a", "license": "MIT"}}
PROMPTS = [{"prompt_index": 0, "content_filter_results": {"jailbreak": {"detected": False, "filtered": False}}}]
FOUND = {"prompt_filter_results": [{"jailbreak": {"detected": False, "filtered": False}}]}


def streamed(*chunks: dict[str, Any]) -> Any:
    decoder = ChunkDecoder(Expectation(model="m"), new_id=lambda: "c", failed=lambda _: AssertionError())
    decoder.feed(ServerSentEvent("", json.dumps(chunk).encode()) for chunk in chunks)
    decoder.end()
    end = decoder.take()[-1]
    assert isinstance(end, UpstreamEnd)
    return end.provider_metadata


def whole(answer: dict[str, Any]) -> Any:
    reader = ResponseReader(Expectation(model="m"), new_id=lambda: "c")
    return reader.read(decode_answer(json.dumps(answer).encode()), request_id="r").provider_metadata


def piece(text: str | None = None, index: int = 0, **fields: Any) -> dict[str, Any]:
    delta = {} if text is None else {"delta": {"content": text}}
    return {"model": "m", "choices": [{"index": index, **delta, **fields}]}


def test_an_answer_tells_what_was_found_in_it_and_in_its_prompt():
    choices = [
        {"index": 1, "message": {"content": "b"}, "finish_reason": "stop", "content_filter_results": {"hate": LOW}},
        {
            "index": 0,
            "message": {"content": "a"},
            "content_filter_results": {"hate": HATE, "protected_material_code": CODE},
        },
    ]
    told = whole({"model": "m", "choices": choices, "prompt_filter_results": PROMPTS})
    assert told == FOUND | {"content_filter_results": [{"hate": HATE, "protected_material_code": CODE}, {"hate": LOW}]}


def test_a_stream_tells_the_worst_that_was_found_in_any_piece():
    told = streamed(
        {"id": "", "model": "", "choices": [], "prompt_filter_results": PROMPTS},
        piece("a", content_filter_results={"hate": LOW}),
        piece("b", content_filter_results={"hate": SAFE, "violence": SAFE}),
        piece(content_filter_results={"protected_material_code": CODE}, content_filter_offsets={"check_offset": 1}),
        piece("", finish_reason="stop", content_filter_results={"protected_material_code": {"detected": False}}),
    )
    found = {"hate": LOW, "violence": SAFE, "protected_material_code": CODE}
    assert told == FOUND | {"content_filter_results": [found]}


def test_filters_that_say_nothing_are_not_told_of():
    empty = [{"prompt_index": 0, "content_filter_results": {}}]
    assert streamed({"choices": [], "prompt_filter_results": empty}, piece("a", finish_reason="stop")) == {}
    told = {"choices": [{"message": {"content": "a"}, "content_filter_results": {}}], "prompt_filter_results": empty}
    assert whole(told) == {}


def test_an_answer_without_a_model_does_not_tell_of_another():
    assert whole({"model": "", "choices": [{"message": {"content": "a"}, "finish_reason": "stop"}]}) == {}


def test_filters_that_failed_say_so():
    failed = {"error": {"code": "content_filter_error", "message": "The contents are not filtered"}}
    told = whole({"choices": [{"message": {"content": "a"}, "content_filter_results": failed}]})
    assert told == {"content_filter_results": [failed]}


@pytest.mark.parametrize("odd", [7, "x", [], [1], {"hate": 7}, [{"content_filter_results": 7}], None])
def test_what_is_no_finding_is_none(odd):
    filters = Filters()
    filters.take(0, odd)
    assert (filters.metadata(), in_prompts(odd)) == ({}, {})


def test_what_filters_say_is_bounded_and_can_be_written():
    filters = Filters()
    for number in range(1000):
        filters.take(0, {f"c{number}": {"severity": "x" * 100_000, "filtered": "yes", "more": ["y"] * 1000}})
    filters.take(0, {f"d{number}": SAFE for number in range(100_000)})
    filters.take(0, {"c0": {"citation": {"URL": "\ud83e", "license": 7}, "severity": ["high"]}})
    (found,) = filters.metadata()["content_filter_results"]
    assert len(found) == 24
    assert found["c1"] == {"severity": "x" * 1024}
    assert found["c0"] == {"citation": {"URL": "\ufffd"}}
    assert len(in_prompts(PROMPTS * 1000)["prompt_filter_results"]) == 24
