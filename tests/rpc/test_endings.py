"""How calls end when caller, provider and time limits get in each other's way."""

import asyncio
import time
from datetime import UTC, datetime

import grpc
import pytest

from llmproxy_grpc._gen.v1 import chat_pb2
from llmproxy_grpc.calls import ANONYMOUS, Audience, Call
from llmproxy_grpc.errors import CallerCancelled, DeadlineExceeded, UpstreamServerError
from llmproxy_grpc.messages import (
    CandidateFinish,
    ChatRequest,
    FinishReason,
    TextDelta,
    UpstreamEnd,
    UpstreamStart,
    Usage,
)
from llmproxy_grpc.providers.provider import Adapted
from llmproxy_grpc.routing import tries
from llmproxy_grpc.routing.attempt import Trying
from llmproxy_grpc.routing.candidate import Candidate
from llmproxy_grpc.routing.catalog import Target
from llmproxy_grpc.routing.operations import CHAT
from llmproxy_grpc.server.rpc import Door, Method
from tests.fakes.http import get
from tests.fakes.polling import until
from tests.fakes.requests import RichError, stream_request
from tests.fakes.scripted_provider import ScriptedProvider, answer, never
from tests.rpc.test_chat import TWO, two

FLOOD = [[TextDelta(text="x" * 100_000)]] * 400
END = [CandidateFinish(0, FinishReason.STOP), UpstreamEnd(Usage(1, 1, 2))]


async def kinds(call) -> list[str]:
    return [event.WhichOneof("event") async for event in call]


async def rest(call) -> RichError:
    """Reads a stream that has begun to its error."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        while await call.read() is not grpc.aio.EOF:
            pass
    return RichError(raised.value)


async def calls_by_code(server) -> dict[str, float]:
    lines = (await get(server.http, "/metrics"))[1].splitlines()
    counts = [line for line in lines if line.startswith("llmproxy_calls_total{")]
    return {line.split('code="')[1].split('"')[0]: float(line.rpartition(" ")[2]) for line in counts}


async def test_a_caller_that_did_not_read_in_time_gets_a_status_even_if_it_wants_errors_in_band(serve):
    async with serve({"timeouts": {"stream": 0.3}}) as server:
        server.scripted.streams.append([[UpstreamStart("u")], *FLOOD])
        call = server.stub.Stream(stream_request(inband_error=True))
        await call.read()
        await until(lambda: server.scripted.cancelled)
        async with asyncio.timeout(10):
            assert (await rest(call)).reason == "DEADLINE_EXCEEDED"


async def test_leaving_while_a_message_is_on_its_way_is_no_bug_of_ours(serve):
    flood = [[TextDelta(text="x" * 20_000)]] * 2000
    async with serve() as server:
        for _ in range(8):
            server.scripted.streams.extend([[[UpstreamStart("u")], *flood]] * 20)
            calls = [server.stub.Stream(stream_request()) for _ in range(20)]
            for call in calls:
                await call.read()
            for call in calls:
                call.cancel()
        await until(lambda: server.app._admission.in_flight["Stream"] == 0)
        assert await calls_by_code(server) == {"CANCELLED": 160}


async def test_a_write_that_grpc_cannot_make_means_that_the_caller_has_left():
    async def servicer(_request, _rpc):
        raise grpc.aio.InternalError

    class Context:
        def invocation_metadata(self):
            return ()

    handler = Door([]).handler(Method("Chat", chat_pb2.ChatRequest), servicer)
    with pytest.raises(CallerCancelled):
        await handler.unary_unary(b"", Context())


@pytest.mark.parametrize(("before", "kind"), [(0.001, DeadlineExceeded), (0.0, DeadlineExceeded), (1, CallerCancelled)])
async def test_an_attempt_that_the_deadlines_timer_ended_a_little_early_ended_by_the_deadline(before, kind):
    now = datetime.now(UTC)
    call = Call("id", "Chat", "", ANONYMOUS, now, started_at=0.0, deadline_at=100.0)
    candidate = Candidate(Target("scripted", "m"), ScriptedProvider(), ChatRequest("m", ()))
    with pytest.raises(asyncio.CancelledError), Trying(call, CHAT, candidate, Audience.of([]), lambda: 100.0 - before):
        raise asyncio.CancelledError
    assert type(call.attempts[0].error) is kind


async def test_nothing_is_held_behind_the_end(serve):
    async with serve() as server:
        server.scripted.streams.append([[UpstreamStart("u")], [TextDelta(text="a"), *END]])
        request = stream_request()
        request.options.coalesce.FromSeconds(10)
        async with asyncio.timeout(5):
            assert (await kinds(server.stub.Stream(request)))[-1] == "end"


async def test_holding_text_does_not_make_a_call_miss_its_deadline(serve):
    async with serve() as server:
        server.scripted.streams.append([[UpstreamStart("u")], [TextDelta(text="a")], [TextDelta(text="b"), *END]])
        request = stream_request()
        request.options.coalesce.FromSeconds(10)
        assert (await kinds(server.stub.Stream(request, timeout=1)))[-1] == "end"


async def test_heartbeats_come_while_text_is_held(serve):
    async with serve() as server:
        server.scripted.streams.append([*answer()[:2], never])
        request = stream_request()
        request.options.coalesce.FromSeconds(10)
        request.options.heartbeat.FromMilliseconds(100)
        call = server.stub.Stream(request)
        async with asyncio.timeout(5):
            assert [(await call.read()).WhichOneof("event") for _ in range(4)] == [
                "start",
                "delta",
                "heartbeat",
                "heartbeat",
            ]
        call.cancel()


@pytest.mark.parametrize("behind", [never, UpstreamServerError("Too late.")])
@pytest.mark.parametrize("heartbeat", [0, 100])
async def test_what_a_provider_does_behind_its_end_marker_changes_nothing(serve, behind, heartbeat):
    async with serve({"timeouts": {"idle": 0.2}}) as server:
        server.scripted.streams.append([*answer(), behind])
        request = stream_request()
        request.options.heartbeat.FromMilliseconds(heartbeat)
        async with asyncio.timeout(5):
            assert await kinds(server.stub.Stream(request)) == ["start", "delta", "delta", "finish", "end"]
        assert server.scripted.cancelled + server.scripted.finished == 1


async def test_reading_the_end_late_is_no_failure(serve):
    async with serve({"timeouts": {"write": 0.2}}) as server:
        text = "x" * 3_500_000  # the caller takes one such message unread, but not two
        server.scripted.streams.append([[UpstreamStart("u")], [TextDelta(text=text)], END])
        call = server.stub.Stream(stream_request(include_final_response=True))
        await until(lambda: server.scripted.cancelled)  # let go, for the end has been waiting for too long
        assert await kinds(call) == ["start", "delta", "finish", "end"]
        assert await call.code() == grpc.StatusCode.OK


async def test_without_time_for_another_target_the_failure_at_hand_is_the_answer(serve, monkeypatch):
    monkeypatch.setattr(tries, "SHORTEST_ATTEMPT", 60.0)
    providers = two()
    providers["a"].streams.append([UpstreamServerError("It failed.")])
    async with serve(TWO | {"timeouts": {"stream": 50.0}}, providers=providers) as server:
        began = time.monotonic()
        call = server.stub.Stream(stream_request())
        error = await rest(call)
        assert time.monotonic() - began < 5
        assert error.reason == "UPSTREAM_SERVER_ERROR"
        assert providers["b"].requests == []


async def test_a_call_whose_deadline_has_passed_reaches_no_provider(serve):
    slow = ScriptedProvider()

    def blocking(request, _model):
        # Whatever keeps the loop busy before the first attempt: the deadline's own timer cannot go off meanwhile.
        time.sleep(0.1)
        return Adapted(request)

    slow.adapt = blocking
    async with serve({"timeouts": {"stream": 0.05}}, providers={"scripted": slow}) as server:
        began = time.monotonic()
        error = await rest(server.stub.Stream(stream_request()))
        assert 0.1 <= time.monotonic() - began < 5
        assert (error.code, error.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED")
        assert len(error.detail.attempts) == 0
        assert slow.requests == []
