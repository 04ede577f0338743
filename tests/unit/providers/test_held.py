"""What a stream holds back until its end: as much as an event may have, whatever kind of provider sends it."""

import json
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from llmproxy_grpc.errors import UpstreamProtocolError
from llmproxy_grpc.providers.anthropic_messages.stream import EventDecoder as MessagesDecoder
from llmproxy_grpc.providers.cohere_chat.stream import EventDecoder as CohereDecoder
from llmproxy_grpc.providers.converse.stream import FrameDecoder
from llmproxy_grpc.providers.eventstream import Frame
from llmproxy_grpc.providers.extent import Extent
from llmproxy_grpc.providers.held import HeldText
from llmproxy_grpc.providers.ollama_chat.stream import LineDecoder
from llmproxy_grpc.providers.sse import ServerSentEvent
from llmproxy_grpc.providers.streaming import StreamDecoder
from tests.unit.providers.chat_completions import chunks
from tests.unit.providers.test_floods import reply

MOST = 40_000
TEN = "x" * 10_000


def messages(block: dict[str, Any], deltas: Iterable[dict[str, Any]]) -> list[Any]:
    begin = {"type": "content_block_start", "index": 0, "content_block": block}
    events = [begin, *({"type": "content_block_delta", "index": 0, "delta": each} for each in deltas)]
    return [ServerSentEvent("", json.dumps(event).encode()) for event in events]


def converse(start: dict[str, Any] | None, deltas: Iterable[dict[str, Any]]) -> list[Any]:
    events = [("contentBlockStart", {"start": start})] if start else []
    events += [("contentBlockDelta", {"delta": delta}) for delta in deltas]
    return [Frame("event", name, json.dumps({"contentBlockIndex": 0, **event}).encode()) for name, event in events]


def completions() -> StreamDecoder[Any]:
    return chunks.decoder(show_thinking=False, keep_thinking=True)


def hidden(decoder: Callable[..., StreamDecoder[Any]]) -> Callable[[], StreamDecoder[Any]]:
    return lambda: decoder(reply(shown=False))


CALL = {"toolUse": {"toolUseId": "1", "name": "s", "type": "t"}}
THINKING, SERVED = {"type": "thinking", "thinking": ""}, {"type": "server_tool_use", "id": "1", "name": "s"}
STREAMS = {
    "chat_completions": (completions, lambda n: [chunks.delta(reasoning_content=TEN)] * n),
    "reasoning_details": (
        completions,
        lambda n: [chunks.delta(reasoning_details=[{"type": "reasoning.text", "text": TEN}])] * n,
    ),
    "encrypted_details": (
        completions,
        lambda n: [chunks.delta(reasoning_details=[{"type": "reasoning.encrypted", "data": {"a": TEN}}])] * n,
    ),
    "ollama": (hidden(LineDecoder), lambda n: [json.dumps({"message": {"thinking": TEN}}).encode()] * n),
    "cohere": (
        hidden(CohereDecoder),
        lambda n: (
            [
                ServerSentEvent(
                    "", json.dumps({"type": "tool-plan-delta", "delta": {"message": {"tool_plan": TEN}}}).encode()
                )
            ]
            * n
        ),
    ),
    "anthropic": (
        hidden(MessagesDecoder),
        lambda n: messages(THINKING, [{"type": "thinking_delta", "thinking": TEN}] * n),
    ),
    "anthropic_signature": (
        hidden(MessagesDecoder),
        lambda n: messages(THINKING, [{"type": "signature_delta", "signature": TEN}] * n),
    ),
    "anthropic_tool": (
        hidden(MessagesDecoder),
        lambda n: messages(SERVED, [{"type": "input_json_delta", "partial_json": TEN}] * n),
    ),
    "anthropic_unknown": (hidden(MessagesDecoder), lambda n: messages(SERVED, [{"type": "new", "new": TEN}] * n)),
    "bedrock": (hidden(FrameDecoder), lambda n: converse(None, [{"reasoningContent": {"text": TEN}}] * n)),
    "bedrock_signature": (
        hidden(FrameDecoder),
        lambda n: converse(None, [{"reasoningContent": {"signature": TEN}}] * n),
    ),
    "bedrock_tool": (
        hidden(FrameDecoder),
        lambda n: converse(CALL, [{"toolUse": {"input": TEN}}] * n),
    ),
    "bedrock_result": (
        hidden(FrameDecoder),
        lambda n: converse({"toolResult": {"toolUseId": "1"}}, [{"toolResult": [{"json": {"a": TEN}}]}] * n),
    ),
    "bedrock_picture": (
        hidden(FrameDecoder),
        lambda n: converse({"image": {"format": "png"}}, [{"image": {"source": {"bytes": TEN}}}] * n),
    ),
}


@pytest.mark.parametrize(("decoder", "stream"), STREAMS.values(), ids=STREAMS)
def test_what_a_stream_holds_back_is_bounded(decoder, stream, monkeypatch):
    monkeypatch.setattr("llmproxy_grpc.providers.extent.MOST_HELD", MOST)
    decoder().feed(stream(3))
    with pytest.raises(UpstreamProtocolError, match="to end or to name"):
        decoder().feed(stream(5))


def test_a_text_is_given_once_and_halves_of_a_character_are_joined():
    held = HeldText(Extent())
    for piece in ("a\ud83d", "\ude00", "\ud83d"):
        held.add(piece)
    assert (held.take(), held.take()) == ("a\U0001f600\ufffd", "")
