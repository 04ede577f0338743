"""However much another proxy answers: it holds no more than any other answer, and is read beside the event loop."""

import asyncio
from collections.abc import Iterator

import pytest

from llmproxy_grpc._gen.v1 import chat_pb2, embed_pb2
from llmproxy_grpc.errors import UpstreamProtocolError, UpstreamStreamBroken
from llmproxy_grpc.messages import EmbedRequest, TextPart
from llmproxy_grpc.providers import grpc_upstream
from llmproxy_grpc.providers.extent import MOST_CANDIDATES, MOST_LOGPROBS, MOST_TOOL_CALLS
from llmproxy_grpc.providers.relay import line
from tests.fakes.busy import LIMIT, SLACK, Busy
from tests.fakes.threads import ran_beside
from tests.providers.conversations import ask
from tests.providers.grpc_scripts import END, FINISH, HELLO, START, event, streamed, upstream_and_provider

CALL = {"id": "c", "name": "f", "arguments_json": "{}"}


@pytest.fixture
def busy() -> Iterator[Busy]:
    watch = Busy()
    with watch.watching():
        yield watch


def answer(*parts, candidates=1, logprobs=0):
    message = {"role": "ROLE_ASSISTANT", "parts": parts or [{"text": "Hi"}]}
    said = chat_pb2.ChatResponse(candidates=[{"index": index, "message": message} for index in range(candidates)])
    for _ in range(logprobs):
        said.candidates[0].logprobs.add(token="a", logprob=-1.5)
    return said


def calls(count):
    return [event(delta={"part_index": number, "tool_call": CALL}) for number in range(count)]


async def chat(said):
    async with upstream_and_provider([said]) as (_, provider):
        return await provider.chat(ask(), "m")


async def test_an_answer_has_so_many_tool_calls():
    (candidate,) = (await chat(answer(*[{"tool_call": CALL}] * MOST_TOOL_CALLS))).candidates
    assert len(candidate.message.parts) == MOST_TOOL_CALLS
    with pytest.raises(UpstreamProtocolError, match="more than 1,024 tool calls"):
        await chat(answer(*[{"tool_call": CALL}] * (MOST_TOOL_CALLS + 1)))


async def test_an_answer_has_so_many_candidates():
    assert len((await chat(answer(candidates=MOST_CANDIDATES))).candidates) == MOST_CANDIDATES
    with pytest.raises(UpstreamProtocolError, match="more than 128 candidates"):
        await chat(answer(candidates=MOST_CANDIDATES + 1))


async def test_a_stream_has_so_many_tool_calls():
    events = await streamed(START, *calls(MOST_TOOL_CALLS), FINISH, END)
    assert len(events) == MOST_TOOL_CALLS + 3
    with pytest.raises(UpstreamProtocolError, match="more than 1,024 tool calls"):
        await streamed(START, *calls(MOST_TOOL_CALLS + 1), FINISH, END)


@pytest.mark.parametrize(
    "whole",
    [
        {"tool_call": CALL},
        {"text": "a", "citations": [{"uri": "https://example.com"}] * 100},
        {"opaque": {"provider_kind": "x", "type": "t"}},
    ],
    ids=["tool calls", "citations", "parts"],
)
async def test_whole_parts_count_like_those_in_pieces(whole):
    script = [event(delta={"part_index": number % 1000, "part": whole}) for number in range(17_000)]
    with pytest.raises(UpstreamProtocolError, match="has more than"):
        await streamed(START, *script, FINISH, END)


async def test_more_of_a_tool_call_is_no_other_one():
    more = [event(delta={"tool_call": {"arguments_json": " "}})] * (2 * MOST_TOOL_CALLS)
    await streamed(START, *calls(1), *more, FINISH, END)


async def test_a_stream_has_so_many_parts():
    parts = [
        event(delta={"candidate_index": number // 9000, "part_index": number % 9000, "text": "a"})
        for number in range(18_000)
    ]
    with pytest.raises(UpstreamProtocolError, match="more than 16,384 parts"):
        await streamed(START, *parts, FINISH, END)


async def test_a_stream_has_so_many_log_probabilities():
    some = event(delta={"text": "a", "logprobs": [{"token": "a"}] * 15_000})
    with pytest.raises(UpstreamProtocolError, match="log probabilities"):
        await streamed(START, *[some] * (MOST_LOGPROBS // 15_000 + 1), FINISH, END)


async def test_log_probabilities_hold_nobody_up(busy):
    said = answer(logprobs=199_000)
    busy.longest = 0.0
    async with upstream_and_provider([said]) as (_, provider):
        # The test's own task is not watched.
        (candidate,) = (await asyncio.create_task(provider.chat(ask(), "m"))).candidates
    assert len(candidate.logprobs) == 199_000
    assert busy.longest < LIMIT * SLACK, busy.name


async def test_what_is_long_is_read_beside_the_loop(monkeypatch):
    beside = ran_beside(monkeypatch, line, "_parsed")
    long = "x" * (line.LONG + 1)
    for text in ("x", long):
        await chat(answer({"text": text}))
    for text in ("x", long):
        await streamed(event(delta={"text": text}), FINISH, END)
    assert beside == [False, True, False, False, False, True, False, False]


async def test_so_are_vectors(monkeypatch):
    beside = ran_beside(monkeypatch, line, "_parsed")
    long = embed_pb2.EmbedResponse(embeddings=[{"values": [0.5] * line.LONG}])
    async with upstream_and_provider([long]) as (_, provider):
        vectors = await provider.embed(EmbedRequest("m", (TextPart(text="a"),)), "m")
    assert len(vectors.vectors[0]) == line.LONG
    assert beside == [True]


async def test_what_is_wrong_with_a_long_message_is_told_as_always():
    long = event(delta={"text": "x" * (line.LONG + 1), "candidate_index": -1})
    with pytest.raises(UpstreamStreamBroken):
        await streamed(START, HELLO, long, FINISH, END)


@pytest.mark.parametrize("count", [1, 1000])
async def test_a_long_request_is_written_beside_the_loop(monkeypatch, count):
    said, vectors = (ran_beside(monkeypatch, grpc_upstream, name) for name in ("from_request", "from_embed_request"))
    options = {"openai": {"values": [1.0] * count}}
    script = embed_pb2.EmbedResponse(embeddings=[{"values": [1.0]}])
    async with upstream_and_provider([answer()], [script]) as (_, provider):
        await provider.chat(ask(provider_options=options), "m")
        await provider.embed(EmbedRequest("m", (TextPart(text="a"),), provider_options=options), "m")
    assert said == vectors == [count > 1]
