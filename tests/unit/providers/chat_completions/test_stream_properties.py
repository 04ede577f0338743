import json
from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from llmproxy_grpc.messages import ReasoningDelta, TextDelta
from llmproxy_grpc.providers.chat_completions.expectation import Expectation
from llmproxy_grpc.providers.chat_completions.response import ResponseReader
from llmproxy_grpc.providers.chat_completions.shapes import decode_answer
from llmproxy_grpc.providers.sse import ServerSentEvent, SseReader
from tests.providers.conversations import assembled
from tests.unit.providers.chat_completions.chunks import COUNTS, DONE, decoder, delta, event, fragment, run

texts = st.text(st.characters(codec="utf-8"), max_size=20)
messages = st.fixed_dictionaries(
    {
        "reasoning_content": st.none() | texts,
        "content": st.none() | texts,
        "refusal": st.none() | texts,
        "tool_calls": st.lists(
            st.fixed_dictionaries({"name": st.text("abc", min_size=1, max_size=5), "arguments": texts}), max_size=3
        ),
    }
)


def pieces_of(data: st.DataObject, text: str) -> list[str]:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=3)))
    return [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]


def chunks_of(data: st.DataObject, message: dict[str, Any], logprobs: str = "") -> Sequence[ServerSentEvent]:
    """The message in pieces; those of the fields that `logprobs` names have some."""
    chunks = [delta(role="assistant")]
    for field in ("reasoning_content", "content", "refusal"):
        pieces = pieces_of(data, message[field] or "")
        chunks += [delta(**{field: each}, logprobs=measured(each) if field in logprobs else None) for each in pieces]
    for index, called in enumerate(message["tool_calls"]):
        first, *rest = pieces_of(data, called["arguments"])
        chunks.append(fragment(first, id=f"c{index}", name=called["name"], index=index))
        chunks += [fragment(piece, index=index) for piece in rest]
    return [*chunks, delta("stop"), event({"choices": [], "usage": COUNTS}), DONE]


def measured(text: str) -> dict[str, Any] | None:
    """A token for each character."""
    return {"content": [{"token": each, "logprob": -0.5} for each in text]} if text else None


@given(messages, st.data(), st.booleans(), st.booleans(), st.sampled_from(["", "content", "reasoning_content content"]))
def test_a_stream_says_the_same_as_an_answer_in_one_piece(message, data, shown, kept, logprobs):
    expectation = {"show_thinking": shown, "keep_thinking": kept}
    calls = [
        {"id": f"c{index}", "type": "function", "function": called}
        for index, called in enumerate(message["tool_calls"])
    ]
    choice = {"index": 0, "message": {**message, "tool_calls": calls}, "finish_reason": "stop"}
    choice["logprobs"] = measured("".join(message[field] or "" for field in logprobs.split()))
    whole = {"model": "test-model", "choices": [choice], "usage": COUNTS}
    reader = ResponseReader(Expectation(model="test-model", **expectation), new_id=str)
    expected = reader.read(decode_answer(json.dumps(whole).encode()), request_id="")
    streamed = assembled(run(*chunks_of(data, message, logprobs), **expectation))
    if not expected.candidates[0].message.parts:
        # A stream has no place for what it would say of nothing.
        expected = replace(expected, candidates=(replace(expected.candidates[0], logprobs=()),))
    assert streamed == expected


@given(messages, st.data())
def test_a_stream_means_the_same_however_the_network_splits_it(message, data):
    chunks = chunks_of(data, message)
    body = b"".join(b"data: " + chunk.data + b"\n\n" for chunk in chunks)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=8)))
    reader, decoding, events = SseReader(), decoder(), []
    for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True):
        decoding.feed(reader.feed(body[start:end]))
        events += decoding.take()
    decoding.end()
    events += decoding.take()
    assert assembled(events) == assembled(run(*chunks))


@given(st.lists(st.sampled_from(["a\ud83d", "\ude00", "b", "\ud83d", "é", ""]), max_size=8))
def test_no_text_of_a_stream_ever_holds_half_a_character(pieces):
    for each in run(*(delta(content=piece) for piece in pieces), delta("stop"), each_alone=True):
        if isinstance(each, TextDelta | ReasoningDelta):
            each.text.encode()
