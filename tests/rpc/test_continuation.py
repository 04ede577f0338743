"""Streams that break off and are gone on with by another attempt, where the operator wants that."""

import asyncio

import grpc
import pytest

from llmproxy_grpc.errors import (
    InvalidRequest,
    UpstreamRateLimited,
    UpstreamServerError,
    UpstreamStreamBroken,
)
from llmproxy_grpc.messages import (
    ReasoningDelta,
    Role,
    TextDelta,
    ToolCallDelta,
    UpstreamStart,
    Usage,
    UsageSoFar,
    Warning,
)
from llmproxy_grpc.providers.features import Features
from tests.fakes.faulty_upstream import Answer, Do, FaultyUpstream, openai_stream
from tests.fakes.http import get
from tests.fakes.requests import broken_off, stream_request
from tests.fakes.scripted_provider import answer, never
from tests.rpc.faults.exchange import LIST
from tests.rpc.test_chat import TWO, two
from tests.rpc.test_hedging import warmed

BROKEN = UpstreamStreamBroken("It broke.")
HALF = [[UpstreamStart("u1")], [TextDelta(text="Once ")], [TextDelta(text="upon")]]


def continuing(**more):
    model = {**TWO["models"][0], "on_stream_break": "continue"}
    return {**TWO, "models": [model], **more}


def providers(*able: str):
    both = two()
    for name in able:
        both[name].can = Features(names=("scripted",), prefill=True)
    return both


def said(events) -> str:
    return "".join(event.delta.text for event in events)


def warnings(events) -> list[str]:
    return [event.warning.code for event in events if event.HasField("warning")]


async def test_another_target_goes_on_where_the_first_broke_off(serve):
    both = providers("b")
    async with serve(continuing(), providers=both) as server:
        both["a"].streams.append([*HALF, [UsageSoFar(Usage(10, 2, 12))], BROKEN])
        both["b"].streams.append(answer(" a time", Usage(12, 3, 15)))
        call = server.stub.Stream(stream_request(include_final_response=True))
        events = [event async for event in call]
        assert said(events) == "Once upon a time"
        assert [event.sequence for event in events] == list(range(len(events)))
        assert warnings(events) == ["STREAM_CONTINUED"]
        texts = [event.WhichOneof("event") for event in events]
        assert texts.index("warning") == texts.index("delta") + 2
        end = events[-1].end
        assert [each.code for each in end.warnings] == ["STREAM_CONTINUED"]
        assert (end.usage.input_tokens, end.usage.output_tokens, end.usage.total_tokens) == (22, 5, 27)
        assert end.route.provider == "b"
        assert [each.provider for each in end.route.failed_attempts] == ["a"]
        (candidate,) = end.final_response.candidates
        assert [part.text for part in candidate.message.parts] == ["Once upon a time"]
        (asked,) = both["b"].requests
        assert asked.begun
        assert asked.messages[-1].role is Role.ASSISTANT
        assert asked.messages[-1].parts[0].text == "Once upon"
        lines = (await get(server.http, "/metrics"))[1]
        assert 'llmproxy_tokens_total{model="assistant",provider="a",type="output"} 2.0' in lines
        assert 'llmproxy_tokens_total{model="assistant",provider="b",type="output"} 3.0' in lines


async def test_the_same_target_may_go_on_itself(serve):
    both = providers("a")
    async with serve(continuing(), providers=both) as server:
        both["a"].streams.extend([[*HALF, BROKEN], answer(" a time")])
        events = [event async for event in server.stub.Stream(stream_request())]
        assert said(events) == "Once upon a time"
        assert both["b"].requests == []


async def test_silence_is_a_break_as_well(serve):
    both = providers("b")
    async with serve(continuing(timeouts={"idle": 0.2}), providers=both) as server:
        both["a"].streams.append([*HALF, never])
        both["b"].streams.append(answer(" a time"))
        assert said([event async for event in server.stub.Stream(stream_request())]) == "Once upon a time"


async def test_a_rest_that_fails_before_it_begins_is_tried_elsewhere(serve):
    both = providers("a", "b")
    async with serve(continuing(), providers=both) as server:
        both["a"].streams.extend([[*HALF, BROKEN], [UpstreamServerError("It failed.")]])
        both["b"].streams.append(answer(" a time"))
        events = [event async for event in server.stub.Stream(stream_request())]
        assert said(events) == "Once upon a time"
        assert warnings(events) == ["STREAM_CONTINUED"]
        assert [each.provider for each in events[-1].end.route.failed_attempts] == ["a", "a"]


@pytest.mark.parametrize("hedged", [False, True])
async def test_warnings_that_were_delivered_stay_and_those_of_a_rest_that_never_began_go(serve, hedged):
    both = providers("a", "b")
    hedging = {"hedging": {"enabled": True, "max_ratio": 1}} if hedged else {}
    async with serve(continuing(**hedging), providers=both) as server:
        if hedged:
            await warmed(server)
        early, late = Warning("EARLY", "", "x"), Warning("LATE", "", "x")
        both["a"].streams.append([[UpstreamStart("u1"), early], *HALF[1:], [late], BROKEN])
        both["a"].streams.append([[UpstreamStart("u2"), Warning("LOST", "", "x")], UpstreamServerError("It failed.")])
        both["b"].streams.append(answer(" a time"))
        events = [event async for event in server.stub.Stream(stream_request())]
        assert said(events) == "Once upon a time"
        assert [each.code for each in events[0].start.warnings] == ["EARLY"]
        assert warnings(events) == ["LATE", "STREAM_CONTINUED"]
        assert [each.code for each in events[-1].end.warnings] == ["EARLY", "LATE", "STREAM_CONTINUED"]


async def test_a_rest_that_breaks_off_is_gone_on_with_while_attempts_are_left(serve):
    both = providers("a", "b")
    async with serve(continuing(), providers=both) as server:
        both["a"].streams.extend(
            [[*HALF, BROKEN], [[UpstreamStart("u2")], [TextDelta(text=" a")], BROKEN], answer(" time")]
        )
        events = [event async for event in server.stub.Stream(stream_request())]
        assert said(events) == "Once upon a time"
        assert warnings(events) == ["STREAM_CONTINUED"] * 2
        both["a"].streams.extend([[*HALF, BROKEN], [[UpstreamStart("u2")], [TextDelta(text=" a")], BROKEN]])
        both["a"].streams.append([[UpstreamStart("u3")], [TextDelta(text=" time")], BROKEN])
        events, error = await broken_off(server.stub.Stream(stream_request()))
        assert said(events) == "Once upon a time"
        assert error.reason == "UPSTREAM_STREAM_BROKEN"
        assert len(error.detail.attempts) == 3


@pytest.mark.parametrize(
    ("why", "script"),
    [
        ("nobody can", [*HALF, BROKEN]),
        ("a tool call has begun", [*HALF, [ToolCallDelta(part_index=1, id="c", name="f")], BROKEN]),
        ("it was thinking", [[UpstreamStart("u")], [ReasoningDelta(text="Hm.")], BROKEN]),
        ("the request is to blame", [*HALF, InvalidRequest("No.")]),
        ("the operator does not want it", [*HALF, BROKEN]),
        ("one attempt is allowed", [*HALF, BROKEN]),
        ("the budget is empty", [*HALF, BROKEN]),
    ],
)
async def test_a_stream_fails_as_it_broke_off_if(serve, why, script):
    both = providers(*(() if why == "nobody can" else ("a", "b")))
    config = TWO if why == "the operator does not want it" else continuing()
    async with serve(config, providers=both) as server:
        if why == "the budget is empty":
            budget = server.app._runtime.router._retries.budget("a")
            while budget.withdraw(1.4, asyncio.get_running_loop().time()):
                pass
        request = stream_request()
        if why == "one attempt is allowed":
            request.chat.routing.max_attempts = 1
        both["a"].streams.append(script)
        events, error = await broken_off(server.stub.Stream(request))
        assert error.reason == ("INVALID_REQUEST" if why == "the request is to blame" else "UPSTREAM_STREAM_BROKEN")
        assert error.detail.output_started
        assert error.detail.provider == "a"
        assert warnings(events) == []
        assert len(both["a"].requests) == 1
        assert both["b"].requests == []


async def test_if_the_rest_cannot_be_had_the_break_is_what_callers_are_told(serve):
    both = providers("b")
    async with serve(continuing(), providers=both) as server:
        both["a"].streams.append([*HALF, BROKEN])
        both["b"].streams.append([UpstreamRateLimited("Slow down.", retry_after=50)])
        events, error = await broken_off(server.stub.Stream(stream_request()))
        assert said(events) == "Once upon"
        assert (error.code, error.reason, error.pushback) == (
            grpc.StatusCode.UNAVAILABLE,
            "UPSTREAM_STREAM_BROKEN",
            "-1",
        )
        assert [each.provider for each in error.detail.attempts] == ["a", "b"]


@pytest.mark.parametrize(
    ("provider", "rest", "asked"),
    [
        ({"kind": "mistral"}, ["Once", " upon a time"], {"prefix": True}),
        ({"kind": "openai", "preset": "vllm"}, [" a time"], {}),
        ({"kind": "openai", "quirks": {"prefill": "prefix"}}, [" a time"], {"prefix": True}),
    ],
)
async def test_a_connection_that_is_reset_in_the_middle_of_a_text_costs_nothing_of_it(serve, provider, rest, asked):
    async with FaultyUpstream() as upstream:
        url = upstream.url if provider["kind"] == "mistral" else f"{upstream.url}/v1"
        config = {
            "providers": [{"name": "a", "api_key": "test-key", "base_url": url, **provider}],
            "models": [
                {"id": "assistant", "targets": [{"provider": "a", "model": "m"}], "on_stream_break": "continue"}
            ],
            "retries": {"max_attempts": 2},
        }
        upstream.script(LIST)
        async with serve(config) as server:
            await upstream.arrived()
            upstream.requests.clear()
            upstream.script(Answer.stream([*openai_stream(["Once", " upon"])[:3], Do.RESET]))
            upstream.script(Answer.stream(openai_stream(rest)))
            events = [event async for event in server.stub.Stream(stream_request())]
        assert said(events) == "Once upon a time"
        assert warnings(events) == ["STREAM_CONTINUED"]
        sent = upstream.requests[1].json()
        assert sent["messages"][-1] == {"role": "assistant", "content": "Once upon", **asked}
        assert sent.get("continue_final_message", False) is (provider.get("preset") == "vllm")
