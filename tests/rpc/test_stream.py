import asyncio
import time

import grpc
import pytest

from llmproxy_grpc._gen.v1 import generation_pb2
from llmproxy_grpc.errors import UpstreamServerError, UpstreamStreamBroken
from llmproxy_grpc.messages import (
    CandidateFinish,
    FinishReason,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    UpstreamEnd,
    UpstreamStart,
    Usage,
    Warning,
)
from llmproxy_grpc.providers.provider import Unsupported
from tests.fakes.polling import until
from tests.fakes.requests import broken_off, failure, stream_request
from tests.fakes.scripted_provider import ScriptedProvider, answer, never
from tests.rpc.test_chat import TWO, two


async def read(call):
    return [event async for event in call]


def kinds(events):
    return [event.WhichOneof("event") for event in events]


async def test_a_stream_is_start_deltas_finish_end_without_gaps(serve):
    async with serve() as server:
        call = server.stub.Stream(stream_request())
        events = await read(call)
        initial = dict(await call.initial_metadata())
        trailers = dict(await call.trailing_metadata())
    assert kinds(events) == ["start", "delta", "delta", "finish", "end"]
    assert [event.sequence for event in events] == [0, 1, 2, 3, 4]
    assert "".join(event.delta.text for event in events) == "Hello there"
    assert events[0].start.model == "assistant"
    assert events[0].start.route.upstream_request_id == "upstream-1"
    assert events[3].finish.finish_reason == generation_pb2.FINISH_REASON_STOP
    assert events[4].end.usage.total_tokens == 5
    assert (initial["llmproxy-provider"], initial["llmproxy-model"]) == ("scripted", "m")
    assert "llmproxy-provider" not in trailers
    assert generation_pb2.Usage.FromString(trailers["llmproxy-usage-bin"]).total_tokens == 5


async def test_nothing_is_sent_before_the_first_output(serve):
    async with serve() as server:
        held = asyncio.Event()
        server.scripted.streams.append([[UpstreamStart("u")], held.wait, *answer()[1:]])
        call = server.stub.Stream(stream_request())
        waiting = asyncio.ensure_future(call.initial_metadata())
        await until(lambda: server.scripted.requests)
        done, _ = await asyncio.wait({waiting}, timeout=0.1)
        assert not done
        held.set()
        assert "x-request-id" in dict(await waiting)
        await read(call)


async def test_a_stream_fails_over_before_its_first_output(serve):
    providers = two()
    providers["a"].streams.append([[UpstreamStart("u")], UpstreamServerError("It failed.")])
    async with serve(TWO, providers=providers) as server:
        events = await read(server.stub.Stream(stream_request()))
    assert events[0].start.route.provider == "b"
    assert [attempt.provider for attempt in events[0].start.route.failed_attempts] == ["a"]
    assert [attempt.provider for attempt in events[-1].end.route.failed_attempts] == ["a"]


async def test_a_stream_never_fails_over_after_its_first_output(serve):
    providers = two()
    providers["a"].streams.append([*answer()[:2], UpstreamStreamBroken("It broke.")])
    async with serve(TWO, providers=providers) as server:
        events, error = await broken_off(server.stub.Stream(stream_request()))
        assert providers["b"].requests == []
    assert "".join(event.delta.text for event in events) == "Hello"
    assert (error.code, error.reason, error.pushback) == (
        grpc.StatusCode.UNAVAILABLE,
        "UPSTREAM_STREAM_BROKEN",
        "-1",
    )
    assert error.detail.output_started
    assert error.detail.partial_usage.source == generation_pb2.USAGE_SOURCE_ESTIMATE
    assert error.detail.partial_usage.output_tokens == 2


@pytest.mark.parametrize("cut", [1, 2, 3, 4])
async def test_a_stream_without_the_providers_end_marker_is_never_ok(serve, cut):
    async with serve() as server:
        server.scripted.streams.append(answer()[:cut])
        error = await failure(server.stub.Stream(stream_request()))
        expected = "UPSTREAM_PROTOCOL_ERROR" if cut == 1 else "UPSTREAM_STREAM_BROKEN"
        assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, expected)


async def test_the_first_token_timeout_fails_over(serve):
    providers = two()
    providers["a"].streams.append([[UpstreamStart("u")], never])
    async with serve(TWO, providers=providers) as server:
        request = stream_request()
        request.chat.routing.first_token_timeout.FromMilliseconds(50)
        events = await read(server.stub.Stream(request))
        assert events[0].start.route.provider == "b"
        assert events[0].start.route.failed_attempts[0].reason == 16
        assert providers["a"].cancelled == 1


async def test_silence_between_outputs_ends_the_stream_with_its_reason(serve):
    async with serve() as server:
        server.scripted.streams.append([*answer()[:2], never])
        request = stream_request()
        request.chat.routing.idle_timeout.FromMilliseconds(50)
        began = time.monotonic()
        error = await failure(server.stub.Stream(request))
        assert 0.05 <= time.monotonic() - began < 2
        assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "UPSTREAM_TIMEOUT")
        assert error.info.metadata["limit"] == "idle"
        assert len(error.detail.attempts) == 1
        assert error.detail.output_started
        assert server.scripted.cancelled == 1


async def test_heartbeats_come_in_silence_and_move_the_target_to_the_trailers(serve):
    async with serve() as server:
        held = asyncio.Event()
        server.scripted.streams.append([[UpstreamStart("u")], held.wait, *answer()[1:]])
        request = stream_request()
        request.options.heartbeat.FromMilliseconds(100)
        call = server.stub.Stream(request)
        events = []
        async for event in call:
            events.append(event)
            if len(events) == 2:
                held.set()
        trailers = dict(await call.trailing_metadata())
    assert kinds(events)[:3] == ["heartbeat", "heartbeat", "start"]
    assert [event.sequence for event in events] == list(range(len(events)))
    assert trailers["llmproxy-provider"] == "scripted"


async def test_a_heartbeat_stream_closes_the_provider_when_the_caller_leaves(serve):
    async with serve() as server:
        server.scripted.streams.append([[UpstreamStart("u")], never])
        request = stream_request()
        request.options.heartbeat.FromMilliseconds(100)
        call = server.stub.Stream(request)
        assert (await call.read()).WhichOneof("event") == "heartbeat"
        call.cancel()
        await until(lambda: server.scripted.cancelled)


async def test_an_inband_error_precedes_the_same_status(serve):
    async with serve() as server:
        server.scripted.streams.append([*answer()[:2], UpstreamStreamBroken("It broke.")])
        events, error = await broken_off(server.stub.Stream(stream_request(inband_error=True)))
    assert kinds(events) == ["start", "delta", "error"]
    assert events[-1].error.grpc_code == 14
    assert events[-1].error.detail == error.detail


async def test_the_final_response_is_the_whole_answer(serve):
    async with serve() as server:
        server.scripted.streams.append(
            [
                [UpstreamStart("u"), ReasoningDelta(text="Hm"), ReasoningDelta(text=".", continuity_token=b"t")],
                [TextDelta(text="A", part_index=1), TextDelta(text="B", part_index=1)],
                [ToolCallDelta(id="c1", name="f", arguments_json='{"a"', part_index=2)],
                [ToolCallDelta(arguments_json=":1}", part_index=2)],
                [CandidateFinish(0, FinishReason.TOOL_CALLS, "tool_calls"), UpstreamEnd(Usage(1, 2, 3))],
            ]
        )
        events = await read(server.stub.Stream(stream_request(include_final_response=True)))
    final = events[-1].end.final_response
    parts = final.candidates[0].message.parts
    assert parts[0].reasoning.text == "Hm."
    assert parts[0].continuity_token.endswith(b"scripted/mt")
    assert parts[1].text == "AB"
    assert (parts[2].tool_call.id, parts[2].tool_call.name, parts[2].tool_call.arguments_json) == (
        "c1",
        "f",
        '{"a":1}',
    )
    assert final.candidates[0].finish_reason == generation_pb2.FINISH_REASON_TOOL_CALLS
    assert final.usage.total_tokens == 3
    assert final.id == events[0].start.id


async def test_dropped_fields_are_warned_of_in_start_and_end(serve):
    async with serve() as server:
        server.scripted.unsupported_fields = [Unsupported("generation.top_k", "This API has no top_k.")]
        request = stream_request()
        request.chat.generation.top_k = 3
        request.chat.routing.unsupported_params = 2
        events = await read(server.stub.Stream(request))
    assert [warning.field for warning in events[0].start.warnings] == ["generation.top_k"]
    assert [warning.field for warning in events[-1].end.warnings] == ["generation.top_k"]


async def test_a_caller_that_does_not_read_is_let_go_and_so_is_the_provider(serve):
    async with serve({"timeouts": {"write": 0.2}}) as server:
        flood = [[TextDelta(text="x" * 100_000)]] * 400
        server.scripted.streams.append([[UpstreamStart("u")], *flood, *answer()[2:]])
        call = server.stub.Stream(stream_request())
        await call.read()
        await until(lambda: server.scripted.cancelled)
        _, error = await broken_off(call)
        assert (error.code, error.reason) == (grpc.StatusCode.ABORTED, "SLOW_CONSUMER")


@pytest.mark.parametrize("caller", [None, 1.0])
async def test_a_caller_that_never_reads_has_its_slot_until_its_time_is_over_and_no_longer(serve, caller):
    """gRPC tells nobody that a call is over while a message waits to be read; the end of its time it tells all."""
    limits = {"write": 0.2, "stream": 60 if caller else 1.0}
    async with serve({"timeouts": limits}) as server:
        flood = [[TextDelta(text="x" * 100_000)]] * 400
        server.scripted.streams.append([[UpstreamStart("u")], *flood, *answer()[2:]])
        began = time.monotonic()
        call = server.stub.Stream(stream_request(), timeout=caller)
        await until(lambda: server.scripted.cancelled)
        assert server.app._admission.in_flight["Stream"] == 1
        await until(lambda: server.app._admission.in_flight["Stream"] == 0, within=5)
        assert 0.9 < time.monotonic() - began < 3
        call.cancel()


async def test_held_text_is_complete(serve):
    async with serve() as server:
        server.scripted.streams.append(answer("a b c d"))
        request = stream_request()
        request.options.coalesce.FromMilliseconds(30)
        events = await read(server.stub.Stream(request))
        assert "".join(event.delta.text for event in events) == "a b c d"


async def test_two_hundred_streams_on_one_channel_all_complete(serve):
    async with serve(providers={"scripted": ScriptedProvider()}) as server:
        for _ in range(200):
            assert kinds(await read(server.stub.Stream(stream_request())))[-1] == "end"


EARLY = Warning("PARAMETER_DROPPED", "generation.seed", "early")
LATE = Warning("TARGET_CHANGED", "", "late")


async def test_a_warning_before_the_first_output_comes_with_the_start_and_commits_nothing(serve):
    providers = two()
    providers["a"].streams.append([[UpstreamStart("u"), EARLY], [LATE], UpstreamServerError("It failed.")])
    providers["b"].streams.append([[UpstreamStart("u")], [EARLY], *answer()[1:]])
    async with serve(TWO, providers=providers) as server:
        events = await read(server.stub.Stream(stream_request()))
    assert kinds(events) == ["start", "delta", "delta", "finish", "end"]
    assert [warning.message for warning in events[0].start.warnings] == ["early"]
    assert [warning.message for warning in events[-1].end.warnings] == ["early"]


async def test_a_warning_behind_the_first_output_is_an_event_and_stands_in_the_end(serve):
    async with serve() as server:
        start, first, *rest = answer()
        server.scripted.streams.append([[*start, EARLY], first, [LATE], *rest])
        events = await read(server.stub.Stream(stream_request()))
    assert kinds(events) == ["start", "delta", "warning", "delta", "finish", "end"]
    assert [event.sequence for event in events] == list(range(6))
    assert (events[2].warning.code, events[2].warning.message) == ("TARGET_CHANGED", "late")
    assert [warning.message for warning in events[-1].end.warnings] == ["early", "late"]
