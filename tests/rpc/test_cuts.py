"""Answers cut at every place and in every way: never OK, never repeated, and failed over only while nothing was out."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import Enum

import grpc
import pytest

from llmproxy_grpc._gen.v1 import chat_pb2, generation_pb2
from tests.fakes.faulty_upstream import Answer, Do, FaultyUpstream, Framing, Request, Step, openai_answer, openai_stream
from tests.fakes.requests import RichError, chat_request, stream_request
from tests.rpc.conftest import Serving, asking

SILENCE = 0.3
AT_ONCE = 24


class End(Enum):
    """How an answer breaks off."""

    EOF = "the connection closes in the middle of the body"
    RESET = "the connection is reset"
    CLEAN = "the body ends as HTTP wants it, though its text is not whole"
    UNFRAMED = "the end of the connection is the end of the body"
    STALL = "nothing more comes"
    GARBAGE = "something unreadable comes"


@dataclass(frozen=True)
class Cut:
    """An answer's bytes up to a place, and what comes then."""

    at: int
    end: End

    def answer(self, pieces: Sequence[bytes], media_type: str, *, pause: float = 0.0) -> Answer:
        kept: list[Step] = []
        left = self.at
        for piece in pieces:
            kept += [piece[:left], pause] if pause else [piece[:left]]
            left -= len(piece[:left])
        framing = Framing.CLOSE if self.end is End.UNFRAMED else Framing.CHUNKED
        after: Sequence[Step] = {
            End.EOF: (Do.EOF,),
            End.RESET: (Do.RESET,),
            End.STALL: (Do.STALL,),
            End.GARBAGE: (b"\ndata: {\xff\n\n",),
        }.get(self.end, ())
        return Answer(headers={"content-type": media_type}, body=[*kept, *after], framing=framing)


@dataclass
class Seen:
    """What the caller saw of one call."""

    cut: Cut
    text: str
    arguments: str
    ended: bool
    error: RichError | None
    provider: str = ""

    @property
    def reason(self) -> str:
        return "" if self.error is None else self.error.reason


TEXT = ("Hel", "lo, wörld", " \N{SLICE OF PIZZA}!")
ARGUMENTS = ('{"city":', ' "Zü', 'rich"}')


def events() -> list[bytes]:
    """A stream's events: the role, text, a tool call in fragments, the finish, the usage, the end marker."""
    call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "weather", "arguments": ""}}
    deltas = [
        {"role": "assistant", "content": ""},
        *({"content": text} for text in TEXT),
        {"tool_calls": [call]},
        *({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]} for piece in ARGUMENTS),
    ]
    chunks = [{"choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]})
    chunks.append({"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}})
    # Not all ASCII: a cut may split a character.
    texts = (json.dumps(chunk, ensure_ascii=False, separators=(",", ":")) for chunk in chunks)
    return [*(b"data: %b\n\n" % text.encode() for text in texts), b"data: [DONE]\n\n"]


EVENTS = events()
BOUNDARIES = [sum(len(event) for event in EVENTS[:count]) for count in range(len(EVENTS) + 1)]
WHOLE = BOUNDARIES[-1]
FIRST_OUTPUT = BOUNDARIES[2]
FINISHED = BOUNDARIES[-3]
"""From here on nothing is missing but the usage and the end marker: every candidate has said why it ended."""
BLANK_LINE = 2


@asynccontextmanager
async def cutting(serve, pieces: Sequence[bytes], media_type: str) -> AsyncIterator["Cutter"]:
    async with FaultyUpstream() as first, FaultyUpstream() as second:
        cutter = Cutter(first, second, pieces, media_type)
        async with serve(asking(f"{first.url}/v1", f"{second.url}/v1")) as server:
            cutter.server = server
            yield cutter


class Cutter:
    """A server with two upstreams: the first cuts its answers as the prompt says, the second is well."""

    server: Serving

    def __init__(self, first: FaultyUpstream, second: FaultyUpstream, pieces: Sequence[bytes], media_type: str) -> None:
        self.second = second
        self.pause = 0.0
        """Seconds between two pieces, for what has to come in reads of its own."""
        self._pieces = pieces
        self._media_type = media_type
        first.handler = self._cut
        second.handler = _well

    async def stream(
        self, cuts: Sequence[Cut], *, targets: int = 1, idle: float = 20.0, candidates: int = 1
    ) -> list[Seen]:
        """One stream for each cut, several at a time."""
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(cut: Cut) -> Seen:
            async with gate:
                request = self._request(cut, targets, idle)
                if candidates > 1:
                    request.chat.generation.candidate_count = candidates
                return await _read(self.server.stub.Stream(request, timeout=20), cut)

        return await asyncio.gather(*(one(cut) for cut in cuts))

    async def chat(self, cuts: Sequence[Cut]) -> list[tuple[Cut, RichError | None]]:
        """One call of Chat for each cut, several at a time; None for one that was OK."""
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(cut: Cut) -> tuple[Cut, RichError | None]:
            request = chat_request(_named(cut))
            request.routing.max_attempts = 1
            async with gate:
                try:
                    await self.server.stub.Chat(request, timeout=20)
                except grpc.aio.AioRpcError as error:
                    return cut, RichError(error)
            return cut, None

        return await asyncio.gather(*(one(cut) for cut in cuts))

    def was_asked_second(self, cut: Cut) -> bool:
        """Whether the second upstream got the call."""
        return any(_prompt(request) == _named(cut) for request in self.second.requests if request.body)

    def _request(self, cut: Cut, targets: int, idle: float) -> chat_pb2.StreamRequest:
        request = stream_request(_named(cut))
        routing = request.chat.routing
        routing.max_attempts = targets
        routing.idle_timeout.FromNanoseconds(int(idle * 1e9))
        routing.first_token_timeout.FromNanoseconds(int(idle * 1e9))
        return request

    def _cut(self, request: Request) -> Answer:
        if request.method == "GET":
            return Answer.json(b'{"data":[]}')
        at, _, end = _prompt(request).partition(" ")
        return Cut(int(at), End[end]).answer(self._pieces, self._media_type, pause=self.pause)


def _named(cut: Cut) -> str:
    return f"{cut.at} {cut.end.name}"


def _prompt(request: Request) -> str:
    return request.json()["messages"][0]["content"]


def _well(request: Request) -> Answer:
    return Answer.json(b'{"data":[]}') if request.method == "GET" else Answer.stream(openai_stream("SECOND"))


async def _read(call, cut: Cut) -> Seen:
    seen = Seen(cut, "", "", ended=False, error=None)
    sequence = 0
    try:
        async for event in call:
            assert not seen.ended, "nothing follows the end"
            assert event.sequence == sequence
            sequence += 1
            seen.text += event.delta.text
            seen.arguments += event.delta.tool_call.arguments_json
            seen.ended = event.WhichOneof("event") == "end"
            seen.provider = event.start.route.provider or seen.provider
    except grpc.aio.AioRpcError as error:
        seen.error = RichError(error)
    return seen


def everywhere(*ends: End) -> list[Cut]:
    return [Cut(at, end) for at in BOUNDARIES for end in ends]


def somewhere(count: int, *ends: End, length: int = WHOLE) -> list[Cut]:
    """So many random places, the same in every run."""
    chosen = random.Random(length)
    return [Cut(chosen.randrange(length), end) for end in ends for _ in range(count)]


def check(seen: Seen) -> None:
    """What holds for a cut by the connection's end, wherever it is, with one target."""
    cut = seen.cut
    assert "".join(TEXT).startswith(seen.text), seen
    assert "".join(ARGUMENTS).startswith(seen.arguments), seen
    assert seen.ended is (seen.error is None), seen
    if cut.at >= FINISHED:
        assert seen.error is None, seen
    if seen.error is None:
        # The last line's end is no part of what was said.
        assert cut.at >= FINISHED - BLANK_LINE, seen
        assert (seen.text, seen.arguments) == ("".join(TEXT), "".join(ARGUMENTS)), seen
        return
    assert seen.error.code is grpc.StatusCode.UNAVAILABLE
    assert seen.reason == ("UPSTREAM_STREAM_BROKEN" if seen.text else "UPSTREAM_PROTOCOL_ERROR"), seen
    assert seen.error.detail.output_started is bool(seen.text), seen
    assert seen.error.pushback == "-1"


async def test_a_stream_cut_at_any_event_is_ok_only_if_all_was_said(serve):
    async with cutting(serve, EVENTS, "text/event-stream") as cutter:
        for seen in await cutter.stream(everywhere(End.EOF, End.RESET, End.CLEAN, End.UNFRAMED)):
            check(seen)
            if seen.cut.end is not End.RESET:  # which may outrun what was sent before it
                assert bool(seen.text) is (seen.cut.at >= FIRST_OUTPUT), seen


async def test_a_stream_cut_at_any_byte_is_never_ok_before_its_finish(serve):
    many = [Cut(at, End.EOF) for at in range(0, WHOLE + 1, 3)]
    more = somewhere(60, End.RESET, End.CLEAN, End.UNFRAMED)
    async with cutting(serve, EVENTS, "text/event-stream") as cutter:
        for seen in await cutter.stream([*many, *more]):
            check(seen)


async def test_a_stream_that_falls_silent_anywhere_before_its_finish_times_out(serve):
    cuts = [cut for cut in [*everywhere(End.STALL), *somewhere(40, End.STALL)] if cut.at < FINISHED]
    async with cutting(serve, EVENTS, "text/event-stream") as cutter:
        for seen in await cutter.stream(cuts, idle=SILENCE):
            assert seen.reason == "UPSTREAM_TIMEOUT", seen
            assert "".join(TEXT).startswith(seen.text)
            assert seen.error is not None
            assert seen.error.detail.output_started is bool(seen.text)
        # Silence behind the finish is a server that forgets its end marker.
        for seen in await cutter.stream([Cut(at, End.STALL) for at in BOUNDARIES[-3:]]):
            check(seen)
            assert seen.ended


async def test_garbage_anywhere_in_a_stream_is_never_ok(serve):
    async with cutting(serve, EVENTS, "text/event-stream") as cutter:
        cuts = [cut for cut in [*everywhere(End.GARBAGE), *somewhere(100, End.GARBAGE)] if cut.at < BOUNDARIES[-2]]
        for seen in await cutter.stream(cuts):
            assert seen.reason == "UPSTREAM_PROTOCOL_ERROR", seen
            assert "".join(TEXT).startswith(seen.text)
            assert not seen.ended


@pytest.mark.parametrize("end", [End.EOF, End.RESET, End.CLEAN, End.UNFRAMED, End.STALL, End.GARBAGE])
async def test_a_cut_stream_fails_over_if_and_only_if_nothing_was_delivered(serve, end):
    cuts = [cut for cut in {*everywhere(end), *somewhere(30, end)} if cut.at < FINISHED - BLANK_LINE]
    async with cutting(serve, EVENTS, "text/event-stream") as cutter:
        idle = SILENCE if end is End.STALL else 20.0
        for seen in await cutter.stream(cuts, targets=2, idle=idle):
            if seen.error is None:
                assert (seen.text, seen.arguments, seen.provider) == ("SECOND", "", "b"), seen
            else:
                assert seen.text, seen
                assert "".join(TEXT).startswith(seen.text), seen
                assert seen.provider == "a"
            assert cutter.was_asked_second(seen.cut) is (seen.error is None), seen
            if seen.cut.at >= FIRST_OUTPUT and end is not End.RESET:
                assert seen.error is not None, seen


def two_candidates() -> list[bytes]:
    """A stream's events for two candidates, one after the other, with the usage so far in each."""
    deltas = [(index, text) for index in range(2) for text in ("first", "second", "")]
    chunks = [
        {
            "choices": [{"index": index, "delta": {"content": text}, "finish_reason": None if text else "stop"}],
            "usage": {"prompt_tokens": 5, "completion_tokens": count},
        }
        for count, (index, text) in enumerate(deltas, 1)
    ]
    return [*(b"data: %b\n\n" % json.dumps(chunk).encode() for chunk in chunks), b"data: [DONE]\n\n"]


TWO_CANDIDATES = two_candidates()
ALL_ENDED = 6


@pytest.mark.parametrize("end", [End.EOF, End.RESET])
async def test_a_stream_of_two_candidates_cut_before_both_have_ended_is_never_ok(serve, end):
    cuts = [Cut(len(b"".join(TWO_CANDIDATES[:count])), end) for count in range(1, len(TWO_CANDIDATES) + 1)]
    async with cutting(serve, TWO_CANDIDATES, "text/event-stream") as cutter:
        for count, seen in enumerate(await cutter.stream(cuts, candidates=2), 1):
            assert seen.ended is (seen.error is None), seen
            if count < ALL_ENDED:
                assert not seen.ended, seen
            elif end is End.EOF:  # a reset may outrun what was sent before it
                assert seen.ended, seen


async def test_a_cut_stream_reports_the_usage_that_the_provider_told(serve):
    cut = Cut(len(b"".join(TWO_CANDIDATES[:4])), End.EOF)
    async with cutting(serve, TWO_CANDIDATES, "text/event-stream") as cutter:
        (seen,) = await cutter.stream([cut], candidates=2)
        assert seen.error is not None
        assert seen.error.detail.partial_usage == generation_pb2.Usage(
            input_tokens=5, output_tokens=4, total_tokens=9, source=generation_pb2.USAGE_SOURCE_PROVIDER
        )


async def test_a_stream_that_falls_silent_reports_the_usage_that_the_provider_told(serve):
    async with cutting(serve, TWO_CANDIDATES, "text/event-stream") as cutter:
        (seen,) = await cutter.stream([Cut(len(TWO_CANDIDATES[0]), End.STALL)], idle=SILENCE)
        assert seen.error is not None
        assert seen.reason == "UPSTREAM_TIMEOUT"
        assert seen.error.detail.partial_usage.source == generation_pb2.USAGE_SOURCE_PROVIDER
        assert seen.error.detail.partial_usage.output_tokens == 1


async def test_output_behind_the_last_told_usage_is_estimated(serve):
    more = json.dumps({"choices": [{"index": 0, "delta": {"content": "12345678"}}]}).encode()
    pieces = [TWO_CANDIDATES[0], b"data: %b\n\n" % more]
    async with cutting(serve, pieces, "text/event-stream") as cutter:
        cutter.pause = 0.05
        (seen,) = await cutter.stream([Cut(len(b"".join(pieces)), End.EOF)])
        assert seen.error is not None
        assert seen.error.detail.partial_usage == generation_pb2.Usage(
            input_tokens=5, output_tokens=3, total_tokens=8, source=generation_pb2.USAGE_SOURCE_ESTIMATE
        )


async def test_a_chat_cut_at_any_byte_is_never_ok(serve):
    answer = openai_answer("Grüße")
    cuts = [Cut(at, End.EOF) for at in range(len(answer) + 1)]
    cuts += somewhere(40, End.RESET, End.CLEAN, End.UNFRAMED, length=len(answer))
    async with cutting(serve, [answer], "application/json") as cutter:
        for cut, error in await cutter.chat(cuts):
            assert error is not None, cut
            assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "UPSTREAM_PROTOCOL_ERROR"), cut
