"""Thousands of small things where a few are the rule, from a provider that is broken or means harm: in linear time."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from llmproxy_grpc._gen.v1 import chat_pb2
from llmproxy_grpc.errors import UpstreamProtocolError
from llmproxy_grpc.messages import GenerationConfig, OpaquePart, Part, ReasoningConfig, StreamEvent
from llmproxy_grpc.messages.collected import Collected
from llmproxy_grpc.providers.anthropic_messages.stream import EventDecoder
from llmproxy_grpc.providers.converse.stream import FrameDecoder
from llmproxy_grpc.providers.eventstream import Frame
from llmproxy_grpc.providers.generate_content.stream import ContentDecoder, read_answer
from llmproxy_grpc.providers.http_chat import Reply
from llmproxy_grpc.providers.relay.answers import StreamReading
from llmproxy_grpc.providers.sse import ServerSentEvent
from tests.providers.conversations import ask

LONG = "x" * 8_000_000
MANY = 4000


@contextmanager
def in_linear_time(seconds: float = 2.0) -> Iterator[None]:
    """Of this process: ten times as long as these take, and less than any of them takes in quadratic time."""
    started = time.process_time()
    yield
    assert time.process_time() - started < seconds


def reply(*, shown: bool = True) -> Reply:
    request = ask(generation=GenerationConfig(reasoning=ReasoningConfig(include=shown)))
    return Reply(request, "m", "", lambda _: UpstreamProtocolError("failed"), lambda: "call_1")


def parts_of(events: list[StreamEvent]) -> tuple[Part, ...]:
    collected = Collected()
    collected.take(events)
    return collected.response("").candidates[0].message.parts


@pytest.mark.parametrize("candidates", [1, 100])
def test_parts_of_gemini_that_nobody_knows(candidates):
    parts = [{"future": {"n": 1}}] * (4000 // candidates)
    body = {
        "candidates": [
            {"index": index, "content": {"parts": parts}, "finishReason": "STOP"} for index in range(candidates)
        ]
    }
    with in_linear_time():
        said = read_answer(json.dumps(body).encode(), reply())
    known = OpaquePart(provider_kind="gemini", type="future", value={"n": 1})
    assert [part for each in said.candidates for part in each.message.parts] == [known] * 4000


def test_metadata_of_gemini_that_comes_in_pieces():
    def chunk(grounding: dict[str, Any], **more: Any) -> ServerSentEvent:
        candidate = {"content": {"parts": [{"text": "x"}]}, "groundingMetadata": grounding, **more}
        return ServerSentEvent("", json.dumps({"candidates": [candidate]}).encode())

    decoder = ContentDecoder(reply())
    first = {str(number): number for number in range(100_000)}
    with in_linear_time():
        decoder.feed([chunk(first), *[chunk({"a": 1})] * MANY, chunk({"b": 2}, finishReason="STOP")])
        decoder.end()
        (*_, end) = decoder.take()
    assert end.provider_metadata["groundingMetadata"] == {**first, "a": 1, "b": 2}


@pytest.mark.parametrize("shown", [True, False], ids=["shown", "hidden"])
def test_a_signature_of_anthropic_in_pieces(shown):
    def delta(**fields: Any) -> dict[str, Any]:
        return {"type": "content_block_delta", "index": 0, "delta": fields}

    events = [
        {"type": "message_start", "message": {"model": "m"}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}},
        delta(type="thinking_delta", thinking="t"),
        delta(type="signature_delta", signature=LONG),
        *[delta(type="signature_delta", signature="y")] * MANY,
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}},
        {"type": "message_stop"},
    ]
    frames = [ServerSentEvent("", json.dumps(event).encode()) for event in events]
    decoder = EventDecoder(reply(shown=shown))
    with in_linear_time():
        decoder.feed(frames)
        decoder.end()
        (thought,) = parts_of(decoder.take())
    assert (LONG + "y" * MANY).encode() in thought.continuity_token


def converse(*deltas: dict[str, Any], start: dict[str, Any] | None = None, shown: bool = True) -> tuple[Part, ...]:
    events: list[tuple[str, dict[str, Any]]] = [] if start is None else [("contentBlockStart", {"start": start})]
    events += [("contentBlockDelta", {"delta": delta}) for delta in deltas]
    events += [("contentBlockStop", {}), ("messageStop", {"stopReason": "end_turn"}), ("metadata", {})]
    frames = [Frame("event", name, json.dumps({"contentBlockIndex": 0, **event}).encode()) for name, event in events]
    decoder = FrameDecoder(reply(shown=shown))
    with in_linear_time():
        decoder.feed(frames)
        decoder.end()
        return parts_of(decoder.take())


@pytest.mark.parametrize("shown", [True, False], ids=["shown", "hidden"])
def test_a_signature_of_bedrock_in_pieces(shown):
    long, short = ({"reasoningContent": {"signature": text}} for text in (LONG, "y"))
    (thought,) = converse({"reasoningContent": {"text": "t"}}, long, *[short] * MANY, shown=shown)
    assert (LONG + "y" * MANY).encode() in thought.continuity_token


def test_a_result_of_bedrocks_own_tool_in_pieces():
    long, short = ({"toolResult": [{"text": text}]} for text in (LONG, "y"))
    other = {"toolResult": [{"json": {}}]}
    (result,) = converse(long, *[short] * MANY, other, short, short, other, start={"toolResult": {"toolUseId": "a"}})
    assert isinstance(result, OpaquePart)
    assert result.value["content"] == [{"text": LONG + "y" * MANY}, {"json": {}}, {"text": "yy"}, {"json": {}}]


def test_warnings_of_another_proxy():
    warnings = [chat_pb2.Warning(code="C", field="f", message=str(number)) for number in range(20_000)]
    reading = StreamReading()
    with in_linear_time():
        first = reading.events(chat_pb2.StreamResponse(start=chat_pb2.StreamStart(warnings=warnings)))
        again = [event for each in warnings for event in reading.events(chat_pb2.StreamResponse(warning=each))]
    assert (len(first), len(again)) == (257, 0)  # the start, and as many warnings as are taken
