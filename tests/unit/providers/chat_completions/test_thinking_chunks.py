"""Thinking among the content, which goes back there with its signatures: whole answers, streams, and the next turn."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from llmproxy_grpc.errors import UpstreamProtocolError
from llmproxy_grpc.messages import Citation, Message, Part, ReasoningPart, Role, TextPart, UpstreamStart
from llmproxy_grpc.providers.chat_completions.expectation import Expectation
from llmproxy_grpc.providers.chat_completions.quirks import Quirks
from llmproxy_grpc.providers.chat_completions.response import ResponseReader
from llmproxy_grpc.providers.chat_completions.shapes import decode_answer
from llmproxy_grpc.providers.chat_completions.stream import ChunkDecoder
from llmproxy_grpc.providers.chat_completions.thinking_chunks import chunk_token
from llmproxy_grpc.providers.sse import ServerSentEvent
from llmproxy_grpc.providers.thinking_tokens import signature_token
from tests.providers.conversations import assembled
from tests.unit.providers.chat_completions.encoding import messages

REPLAYING = Quirks(reasoning_replay="content")


def expectation(*, show: bool) -> Expectation:
    return Expectation(model="m", show_thinking=show, keep_thinking=True, thinking_in_content=True)


def thought(*texts: str, **fields: Any) -> dict[str, Any]:
    return {"type": "thinking", "thinking": [{"type": "text", "text": text} for text in texts], **fields}


def text(said: str) -> dict[str, Any]:
    return {"type": "text", "text": said}


def whole(content: list[Any], *, show: bool) -> tuple[Part, ...]:
    choice = {"index": 0, "message": {"content": content}, "finish_reason": "stop"}
    reader = ResponseReader(expectation(show=show), new_id=lambda: "call_made")
    answer = decode_answer(json.dumps({"choices": [choice]}).encode())
    return reader.read(answer, request_id="").candidates[0].message.parts


def failed(data: bytes) -> UpstreamProtocolError:
    return UpstreamProtocolError(data.decode())


def streamed(content: list[Any], *, show: bool) -> tuple[Part, ...]:
    decoder = ChunkDecoder(expectation(show=show), new_id=lambda: "call_made", failed=failed)
    for piece in content:
        choice = {"index": 0, "delta": {"content": [piece]}}
        decoder.read(ServerSentEvent("", json.dumps({"choices": [choice]}).encode()))
    decoder.read(ServerSentEvent("", b'{"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}'))
    decoder.end()
    return assembled([UpstreamStart(""), *decoder.take()]).candidates[0].message.parts


READINGS: tuple[Callable[..., tuple[Part, ...]], ...] = (whole, streamed)


@pytest.mark.parametrize("read", READINGS)
def test_thinking_that_is_signed_apart_stays_apart_and_in_its_place(read):
    content = [thought("a", signature="s"), thought("b", "c", signature="t"), text("d"), thought("e"), text("f")]
    assert read(content, show=True) == (
        ReasoningPart(text="a", continuity_token=chunk_token("s")),
        ReasoningPart(text="bc", continuity_token=chunk_token("t")),
        TextPart(text="d"),
        ReasoningPart(text="e", continuity_token=chunk_token("")),
        TextPart(text="f"),
    )
    assert read(content, show=False) == (
        ReasoningPart(redacted=True, continuity_token=chunk_token("s", "a")),
        ReasoningPart(redacted=True, continuity_token=chunk_token("t", "bc")),
        TextPart(text="d"),
        ReasoningPart(redacted=True, continuity_token=chunk_token("", "e")),
        TextPart(text="f"),
    )


@pytest.mark.parametrize("read", READINGS)
@pytest.mark.parametrize("show", [True, False])
def test_a_signature_without_a_text_is_thinking_that_nobody_sees(read, show):
    expected = (ReasoningPart(redacted=True, continuity_token=chunk_token("s")), TextPart(text="x"))
    assert read([thought(signature="s"), text("x")], show=show) == expected


@pytest.mark.parametrize("pieces", [[("a", None), ("b", "s")], [("a", "s"), ("b", "s")], [("ab", None), ("", "s")]])
def test_a_signature_may_come_with_every_piece_or_with_the_last(pieces):
    content = [thought(said, signature=signature) for said, signature in pieces]
    expected = (ReasoningPart(text="ab", continuity_token=chunk_token("s")),)
    assert whole(content, show=True) == streamed(content, show=True) == expected


@pytest.mark.parametrize("read", READINGS)
def test_a_source_stands_on_the_text_before_it(read):
    content = [text("a"), {"type": "reference", "reference_ids": [1]}, thought("b"), text("c")]
    assert [part.citations for part in read(content, show=True)] == [(Citation(uri="1"),), (), ()]


@pytest.mark.parametrize("show", [True, False])
def test_it_goes_back_as_it_came_however_it_was_shown(show):
    content = [thought("a", signature="s"), text("b"), thought("c"), thought(signature="t"), text("d")]
    (said,) = messages(Message(Role.ASSISTANT, whole(content, show=show)), quirks=REPLAYING)
    joined = [thought("a", signature="s"), text("b"), thought("c", signature="t"), text("d")]
    assert said == {"role": "assistant", "content": joined}


@pytest.mark.parametrize("token", [b"", b"\xff", b'{"hidden_thinking":"x"}', signature_token("s")])
def test_thinking_of_another_provider_means_nothing_here(token):
    said = Message(Role.ASSISTANT, (ReasoningPart(text="a", continuity_token=token), TextPart(text="b")))
    assert messages(said, quirks=REPLAYING) == [{"role": "assistant", "content": "b"}]


def test_nor_does_its_thinking_mean_anything_elsewhere():
    said = Message(Role.ASSISTANT, (*whole([thought("a", signature="s"), text("b")], show=True),))
    assert messages(said) == [{"role": "assistant", "content": "b"}]
