"""However much an upstream answers: it is read beside the event loop, and holds only so much."""

import asyncio
import json
from collections.abc import Iterator

import pytest

from llmproxy_grpc.errors import UpstreamProtocolError
from llmproxy_grpc.messages import EmbedRequest, TextPart, ToolCallPart
from llmproxy_grpc.providers.extent import LONG, MANY_CONTAINERS, MOST_CONTAINERS, MOST_TOOL_CALLS
from llmproxy_grpc.providers.streaming import StreamDecoder
from tests.fakes.busy import LIMIT, SLACK, Busy
from tests.fakes.faulty_upstream import Answer, Framing
from tests.fakes.threads import ran_beside
from tests.providers.conversations import ask, assembled, collected
from tests.providers.kinds import HTTP_KINDS

OPENAI = [kind for kind in HTTP_KINDS if kind.name == "openai"]
LARGE = "x" * (LONG + 1)


def calls(count: int) -> list[ToolCallPart]:
    return [ToolCallPart(id=f"call_{number}", name="f", arguments_json='{"a":1}') for number in range(count)]


@pytest.fixture
def busy() -> Iterator[Busy]:
    watch = Busy()
    with watch.watching():
        yield watch


async def test_an_answer_has_so_many_tool_calls(kind, provider, upstream):
    upstream.script(Answer.json(kind.calls_answer(calls(MOST_TOOL_CALLS))))
    (candidate,) = (await provider.chat(ask(), kind.model)).candidates
    assert len(candidate.message.parts) == MOST_TOOL_CALLS
    upstream.script(Answer.json(kind.calls_answer(calls(MOST_TOOL_CALLS + 1))))
    with pytest.raises(UpstreamProtocolError, match="more than 1,024 tool calls"):
        await provider.chat(ask(), kind.model)


async def test_a_stream_has_so_many_tool_calls(kind, provider, upstream):
    upstream.script(kind.streaming(kind.calls_stream(calls(MOST_TOOL_CALLS))))
    (candidate,) = assembled(await collected(provider.stream(ask(), kind.model))).candidates
    assert len(candidate.message.parts) == MOST_TOOL_CALLS
    upstream.script(kind.streaming(kind.calls_stream(calls(MOST_TOOL_CALLS + 1))))
    with pytest.raises(UpstreamProtocolError, match="more than 1,024 tool calls"):
        await collected(provider.stream(ask(), kind.model))


async def test_a_stream_that_is_answered_in_one_piece_has_no_more(kind, provider, upstream):
    upstream.script(Answer.json(kind.calls_answer(calls(MOST_TOOL_CALLS + 1))))
    with pytest.raises(UpstreamProtocolError, match="more than 1,024 tool calls"):
        await collected(provider.stream(ask(), kind.model))


async def test_a_long_answer_is_read_beside_the_loop(kind, provider, upstream, monkeypatch):
    beside = ran_beside(monkeypatch, provider._wire, "read")
    for text in ("x", LARGE):
        upstream.script(Answer.json(kind.answer(text)))
        (candidate,) = (await provider.chat(ask(), kind.model)).candidates
        assert candidate.message.parts[0].text == text
    assert beside == [False, True]


async def test_a_long_event_is_read_beside_the_loop(kind, provider, upstream, monkeypatch):
    beside = ran_beside(monkeypatch, StreamDecoder, "feed")
    for text in ("x", LARGE):
        upstream.script(kind.streaming(kind.stream([text], ("5", "7"))))
        (candidate,) = assembled(await collected(provider.stream(ask(), kind.model))).candidates
        assert candidate.message.parts[0].text == text
    assert not beside[0]
    assert any(beside)


@pytest.mark.parametrize("kind", OPENAI, ids=lambda kind: kind.name)
@pytest.mark.parametrize("chop", [0, 10_000], ids=["at once", "piece by piece"])
async def test_an_event_full_of_log_probabilities_is_read_beside_the_loop(kind, provider, upstream, monkeypatch, chop):
    beside = ran_beside(monkeypatch, StreamDecoder, "feed")
    told = [{"token": "a", "logprob": -1}] * (2 * MANY_CONTAINERS)
    choice = {"index": 0, "delta": {"content": "x"}, "logprobs": {"content": told}, "finish_reason": "stop"}
    body = b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\ndata: [DONE]\n\n"
    assert len(body) < LONG
    answer = Answer(headers={"content-type": kind.stream_type}, body=[body], framing=Framing.CHUNKED, chop=chop)
    upstream.script(answer)
    (candidate,) = assembled(await collected(provider.stream(ask(), kind.model))).candidates
    assert len(candidate.logprobs) == len(told)
    assert any(beside)


async def test_no_answer_has_more_objects_than_it_could_need(kind, provider, upstream):
    body = b'{"x":' + b"[" * (MOST_CONTAINERS + 1)
    upstream.script(Answer.json(body), Answer.json(body))
    with pytest.raises(UpstreamProtocolError, match="objects and lists"):
        await provider.chat(ask(), kind.model)
    if kind.embed_model:
        with pytest.raises(UpstreamProtocolError, match="objects and lists"):
            await provider.embed(EmbedRequest(kind.embed_model, (TextPart(text="Hi"),)), kind.embed_model)


async def test_no_event_has_more_objects_than_it_could_need(kind, provider, upstream):
    # The text counts like what it looks like: nobody looks closer before it is read.
    upstream.script(kind.streaming(kind.stream(["[" * (2 * MOST_CONTAINERS)], None)))
    with pytest.raises(UpstreamProtocolError, match="objects and lists"):
        await collected(provider.stream(ask(), kind.model))


@pytest.mark.parametrize("kind", OPENAI, ids=lambda kind: kind.name)
@pytest.mark.parametrize("count", [80_000, 900_000])
async def test_many_tiny_tool_calls_hold_nobody_up(kind, provider, upstream, busy, count):
    body = {"choices": [{"index": 0, "message": {"tool_calls": [{}] * count}, "finish_reason": "stop"}]}
    upstream.script(Answer.json(json.dumps(body, separators=(",", ":")).encode()))
    with pytest.raises(UpstreamProtocolError):
        await asyncio.create_task(provider.chat(ask(), kind.model))  # the test's own task is not watched
    assert busy.longest < LIMIT * SLACK, busy.name


@pytest.mark.parametrize("kind", OPENAI, ids=lambda kind: kind.name)
async def test_tool_calls_without_a_name_count_before_the_stream_ends(kind, provider, upstream):
    fragments = [{"index": number, "function": {"arguments": "{}"}} for number in range(MOST_TOOL_CALLS + 1)]
    body = json.dumps({"choices": [{"index": 0, "delta": {"tool_calls": fragments}}]}).encode()
    upstream.script(
        Answer(headers={"content-type": kind.stream_type}, body=[b"data: " + body + b"\n\n"], framing=Framing.CHUNKED)
    )
    with pytest.raises(UpstreamProtocolError, match="tool calls"):
        await collected(provider.stream(ask(), kind.model))
