"""A second attempt beside a stream that is slow to begin."""

import asyncio
import gc
import time
from datetime import UTC, datetime

import grpc
import pytest

from llmproxy_grpc._gen.v1 import error_pb2
from llmproxy_grpc.errors import InvalidRequest, UpstreamRateLimited, UpstreamServerError
from llmproxy_grpc.health.switchboard import Switch, Switching
from llmproxy_grpc.messages import TextDelta, UpstreamStart, Warning
from tests.fakes.http import get
from tests.fakes.polling import until
from tests.fakes.requests import failure, stream_request
from tests.fakes.scripted_provider import answer, never
from tests.rpc.test_chat import TWO, two

HEDGED = {**TWO, "hedging": {"enabled": True, "max_ratio": 1}}
SOON = 1.0  # the promise is 100 ms; tests assert ten times the figure


async def text(call) -> str:
    return "".join([event.delta.text for event in await events(call)])


async def events(call) -> list:
    return [event async for event in call]


async def warmed(server) -> None:
    """Lets the server learn how long first outputs take."""
    for _ in range(20):
        await events(server.stub.Stream(stream_request()))
    for provider in server.providers.values():
        provider.cancelled = 0


async def late() -> None:
    await asyncio.sleep(1.0)


async def test_a_stream_that_is_slow_to_begin_is_answered_by_the_second_attempt(serve):
    providers = two()
    async with serve(HEDGED, providers=providers) as server:
        await warmed(server)
        providers["a"].streams.append([[UpstreamStart("slow")], never])
        providers["b"].streams.append(answer("From b"))
        began = time.monotonic()
        told = await events(server.stub.Stream(stream_request(include_final_response=True)))
        assert time.monotonic() - began >= 0.5
        assert "".join(event.delta.text for event in told) == "From b"
        assert [event.sequence for event in told] == list(range(len(told)))
        start, end = told[0].start, told[-1].end
        assert (start.route.provider, end.route.provider) == ("b", "b")
        assert start.route.upstream_request_id == "upstream-1"
        (lost,) = end.route.failed_attempts
        assert (lost.provider, lost.grpc_code) == ("a", grpc.StatusCode.CANCELLED.value[0])
        assert lost.reason == error_pb2.ERROR_REASON_OUTRUN
        assert lost.HasField("usage")  # it may have to be paid for
        await until(lambda: providers["a"].cancelled == 1, within=SOON)
        page = (await get(server.http, "/metrics"))[1]
        assert 'llmproxy_attempts_total{outcome="outrun",provider="a"} 1.0' in page


async def test_the_first_attempt_may_still_win(serve):
    providers = two()
    async with serve(HEDGED, providers=providers) as server:
        await warmed(server)
        providers["a"].streams.append([[UpstreamStart("slow")], late, *answer("From a")[1:]])
        providers["b"].streams.append([[UpstreamStart("slower"), Warning("OF_B", "x", "y")], never])
        told = await events(server.stub.Stream(stream_request()))
        assert "".join(event.delta.text for event in told) == "From a"
        assert told[-1].end.route.provider == "a"
        assert [each.provider for each in told[-1].end.route.failed_attempts] == ["b"]
        assert list(told[-1].end.warnings) == []
        await until(lambda: providers["b"].cancelled == 1, within=SOON)


async def test_if_one_of_two_fails_the_other_serves(serve):
    providers = two()
    async with serve(HEDGED, providers=providers) as server:
        await warmed(server)
        providers["a"].streams.append([late, *answer("From a")])
        providers["b"].streams.append([UpstreamServerError("It failed.")])
        assert await text(server.stub.Stream(stream_request())) == "From a"
        providers["a"].streams.append([late, UpstreamServerError("It failed.")])
        providers["b"].streams.append([late, *answer("From b")])
        assert await text(server.stub.Stream(stream_request())) == "From b"


async def test_if_both_fail_the_call_goes_on_as_after_any_failure(serve):
    providers = two()
    async with serve(HEDGED, providers=providers) as server:
        await warmed(server)
        providers["a"].streams.extend([[late, UpstreamServerError("It failed.")], answer("Again")])
        providers["b"].streams.append([late, UpstreamServerError("It failed.")])
        providers["b"].streams.append(answer("Again"))
        told = await events(server.stub.Stream(stream_request()))
        assert "".join(event.delta.text for event in told) == "Again"
        assert sorted(each.provider for each in told[-1].end.route.failed_attempts) == ["a", "b"]


async def test_what_every_target_would_refuse_ends_both(serve):
    providers = two()
    async with serve(HEDGED, providers=providers) as server:
        await warmed(server)
        providers["a"].streams.append([[UpstreamStart("u")], never])
        providers["b"].streams.append([InvalidRequest("No.")])
        assert (await failure(server.stub.Stream(stream_request()))).reason == "INVALID_REQUEST"
        assert providers["a"].cancelled == 1


async def test_two_that_fail_at_the_same_moment_are_both_told(serve):
    providers = two()
    unheard = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: unheard.append(context))
    both = asyncio.Event()
    async with serve(HEDGED, providers=providers) as server:
        await warmed(server)
        providers["a"].streams.append([[UpstreamStart("u")], both.wait, InvalidRequest("No.")])
        providers["b"].streams.append([[UpstreamStart("u")], both.wait, InvalidRequest("Neither.")])
        ending = asyncio.create_task(failure(server.stub.Stream(stream_request())))
        await until(lambda: len(providers["b"].requests) == 1)
        both.set()
        error = await ending
        assert error.reason == "INVALID_REQUEST"
        assert [(each.provider, each.grpc_code) for each in error.detail.attempts] == [("a", 3), ("b", 3)]
        gc.collect()
        assert unheard == []


async def test_a_caller_that_leaves_ends_both(serve):
    providers = two()
    async with serve(HEDGED, providers=providers) as server:
        await warmed(server)
        for provider in providers.values():
            provider.streams.append([[UpstreamStart("u")], never])
        call = server.stub.Stream(stream_request())
        await until(lambda: len(providers["b"].requests) == 1)
        call.cancel()
        await until(lambda: [provider.cancelled for provider in providers.values()] == [1, 1], within=SOON)
        await until(lambda: server.app._admission.in_flight["Stream"] == 0)


async def test_of_two_at_once_the_one_whose_provider_is_disabled_ends(serve):
    providers = two()
    go = asyncio.Event()
    async with serve(HEDGED, providers=providers) as server:
        await warmed(server)
        providers["a"].streams.append([[UpstreamStart("u")], never])
        providers["b"].streams.append([[UpstreamStart("u")], go.wait, *answer("From b")[1:]])
        reading = asyncio.create_task(events(server.stub.Stream(stream_request())))
        await until(lambda: len(providers["b"].requests) == 1)
        server.app._switchboard.switch(Switching("a", Switch.DISABLED, "", datetime.now(UTC)))
        await until(lambda: providers["a"].cancelled == 1, within=SOON)
        go.set()
        end = (await reading)[-1].end
        assert end.route.provider == "b"
        assert [(each.provider, each.reason) for each in end.route.failed_attempts] == [("a", 19)]


async def test_a_drain_that_ends_both_is_told_of_both(serve):
    providers = two()
    async with serve(HEDGED, providers=providers) as server:
        await warmed(server)
        for provider in providers.values():
            provider.streams.append([[UpstreamStart("u")], never])
        ending = asyncio.create_task(failure(server.stub.Stream(stream_request())))
        await until(lambda: len(providers["b"].requests) == 1)
        server.app.stop()
        server.app.stop()
        error = await ending
        assert [(each.provider, each.reason) for each in error.detail.attempts] == [
            (name, error_pb2.ERROR_REASON_DRAINING) for name in "ab"
        ]


async def test_the_deadline_ends_both(serve):
    providers = two()
    async with serve(HEDGED, providers=providers) as server:
        await warmed(server)
        for provider in providers.values():
            provider.streams.append([[UpstreamStart("u")], never])
        assert (await failure(server.stub.Stream(stream_request(), timeout=4))).reason == "DEADLINE_EXCEEDED"
        await until(lambda: [provider.cancelled for provider in providers.values()] == [1, 1], within=SOON)


async def test_a_stream_that_breaks_after_it_has_won_fails(serve):
    providers = two()
    async with serve(HEDGED, providers=providers) as server:
        await warmed(server)
        providers["a"].streams.append([[UpstreamStart("u")], never])
        providers["b"].streams.append(
            [[UpstreamStart("u")], [TextDelta(text="Half")], UpstreamServerError("It failed.")]
        )
        error = await failure(server.stub.Stream(stream_request()))
        assert (error.reason, error.detail.provider) == ("UPSTREAM_SERVER_ERROR", "b")
        assert [each.provider for each in error.detail.attempts] == ["a", "b"]


@pytest.mark.parametrize(
    "why", ["switched off", "too many", "one target", "too few seen", "rate limited", "one attempt allowed"]
)
async def test_there_is_no_second_attempt_if(serve, why):
    providers = two()
    config = {**HEDGED}
    if why == "switched off":
        config = {**TWO}
    if why == "too many":
        config["hedging"] = {"enabled": True, "max_ratio": 0.02}
    if why == "one target":
        config["models"] = [{"id": "assistant", "targets": TWO["models"][0]["targets"][:1]}]
    async with serve(config, providers=providers) as server:
        if why != "too few seen":
            await warmed(server)
        if why == "rate limited":
            providers["b"].streams.append([UpstreamRateLimited("Slow down.")])
            await failure(server.stub.Stream(stream_request_of("b")))
        request = stream_request()
        if why == "one attempt allowed":
            request.chat.routing.max_attempts = 1
        asked = len(providers["b"].requests)
        providers["a"].streams.append([late, *answer("From a")])
        assert await text(server.stub.Stream(request)) == "From a"
        assert len(providers["b"].requests) == asked


def stream_request_of(provider: str):
    request = stream_request()
    request.chat.routing.providers.append(provider)
    request.chat.routing.max_attempts = 1
    return request


async def test_a_second_attempt_that_finds_no_room_leaves_the_first_alone(serve):
    providers = two()
    config = {**HEDGED, "providers": [TWO["providers"][0], {**TWO["providers"][1], "max_in_flight": 1}]}
    async with serve(config, providers=providers) as server:
        await warmed(server)
        providers["b"].streams.append([[UpstreamStart("u")], never])
        holding = server.stub.Stream(stream_request_of("b"))
        await until(lambda: len(providers["b"].requests) == 1)
        providers["a"].streams.append([[UpstreamStart("slow")], late, *answer("From a")[1:]])
        told = await events(server.stub.Stream(stream_request()))
        assert "".join(event.delta.text for event in told) == "From a"
        assert told[-1].end.route.provider == "a"
        assert [(each.provider, each.reason) for each in told[-1].end.route.failed_attempts] == [("b", 20)]
        assert len(providers["a"].requests) == 21
        holding.cancel()


async def test_a_stream_that_may_be_hedged_and_finds_no_room_says_so(serve):
    providers = two()
    models = [{"id": "assistant", "targets": TWO["models"][0]["targets"][:1]}]
    full = {**TWO["providers"][0], "max_in_flight": 1}
    config = {**HEDGED, "providers": [full, TWO["providers"][1]], "models": models}
    async with serve(config, providers=providers) as server:
        await warmed(server)
        providers["a"].streams.append([[UpstreamStart("u")], never])
        holding = server.stub.Stream(stream_request())
        await until(lambda: len(providers["a"].requests) == 21)
        error = await failure(server.stub.Stream(stream_request()))
        assert error.reason == "PROXY_OVERLOADED"
        assert [each.provider for each in error.detail.attempts] == ["a"]
        holding.cancel()
