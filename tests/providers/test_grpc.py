"""The kind `grpc` before an upstream that misbehaves."""

import asyncio
import re
from contextlib import aclosing

import grpc
import pytest
from google.rpc import error_details_pb2

from llmproxy_grpc import errors
from llmproxy_grpc._gen.v1 import chat_pb2, embed_pb2, error_pb2, health_pb2, model_pb2
from llmproxy_grpc.config.schema import ProviderConfig
from llmproxy_grpc.messages import (
    Cost,
    EmbedRequest,
    TextDelta,
    TextPart,
    UpstreamEnd,
    UpstreamStart,
    Usage,
    UsageSource,
    Warning,
)
from llmproxy_grpc.providers.grpc_upstream import GrpcProvider
from llmproxy_grpc.providers.relay import address
from llmproxy_grpc.providers.relay.failures import failure
from tests.fakes.files import no_files
from tests.fakes.relay import Relay
from tests.fakes.scripted_provider import never
from tests.providers.conversations import ask, collected
from tests.providers.grpc_scripts import (
    END,
    FINISH,
    HELLO,
    START,
    config,
    event,
    info,
    refused,
    rich,
    streamed,
    upstream_and_provider,
)

Code = grpc.StatusCode


async def test_a_complete_stream_is_start_output_and_end():
    events = await streamed(START, HELLO, FINISH, END)
    assert events[0] == UpstreamStart("record-1")
    assert events[1] == TextDelta(text="Hello")
    assert isinstance(events[-1], UpstreamEnd)
    assert (events[-1].usage.input_tokens, events[-1].usage.source) == (3, UsageSource.PROVIDER)


async def test_heartbeats_and_unknown_events_are_passed_over():
    unknown = b"\x08\x01\xfa\x01\x02\x08\x01"  # field 31, of a later version
    events = await streamed(event(heartbeat={}), START, unknown, event(delta={}), HELLO, event(error={}), FINISH, END)
    assert [type(each).__name__ for each in events] == ["UpstreamStart", "TextDelta", "CandidateFinish", "UpstreamEnd"]


async def test_a_warning_that_only_the_end_tells_comes_before_it():
    end = event(end={"warnings": [{"code": "LATE"}]})
    assert (await streamed(START, HELLO, FINISH, end))[-2] == Warning("LATE", "", "")


@pytest.mark.parametrize(
    ("script", "error"),
    [
        ([], errors.UpstreamProtocolError),
        ([START], errors.UpstreamProtocolError),
        ([START, HELLO], errors.UpstreamStreamBroken),
        ([START, HELLO, FINISH], errors.UpstreamStreamBroken),
        ([START, HELLO, (Code.UNAVAILABLE, "gone")], errors.UpstreamStreamBroken),
        ([START, HELLO, (Code.INTERNAL, "")], errors.UpstreamStreamBroken),
        ([START, HELLO, FINISH, END, (Code.UNAVAILABLE, "")], errors.UpstreamStreamBroken),
        ([(Code.UNAVAILABLE, "")], errors.UpstreamServerError),
        ([START, HELLO, rich(Code.UNAVAILABLE, info("UPSTREAM_OVERLOADED"))], errors.UpstreamOverloaded),
        ([START, HELLO, b"\xff\xff"], errors.UpstreamProtocolError),
    ],
    ids=str,
)
async def test_a_stream_without_its_end_and_ok_is_never_complete(script, error):
    with pytest.raises(error):
        await streamed(*script)


SPENT = {
    "input_tokens": 3,
    "output_tokens": 4,
    "total_tokens": 7,
    "source": "USAGE_SOURCE_PROVIDER",
    "cost": {"currency_code": "EUR", "amount_nanos": 12_345},
}


async def test_the_cost_of_an_answer_is_what_the_upstream_says():
    candidate = {"message": {"role": "ROLE_ASSISTANT"}, "finish_reason": "FINISH_REASON_STOP"}
    script = [chat_pb2.ChatResponse(candidates=[candidate], usage=SPENT)]
    async with upstream_and_provider(script, [START, HELLO, FINISH, event(end={"usage": SPENT})]) as (_, provider):
        answered = (await provider.chat(ask(), "m")).usage
        ended = (await collected(provider.stream(ask(), "m")))[-1].usage
    assert answered == ended == Usage(3, 4, 7, cost=Cost("EUR", 12_345), source=UsageSource.PROVIDER)


@pytest.mark.parametrize("begun", [[], [START, HELLO]])
async def test_a_failure_tells_what_was_used(begun):
    detail = error_pb2.ErrorDetail(partial_usage=SPENT)
    status = rich(Code.UNAVAILABLE, info("UPSTREAM_STREAM_BROKEN"), detail)
    with pytest.raises(errors.UpstreamStreamBroken) as caught:
        await streamed(*begun, status)
    refusal = await refused(status)
    used = Usage(3, 4, 7, cost=Cost("EUR", 12_345), source=UsageSource.PROVIDER)
    assert caught.value.usage == refusal.usage == used


async def test_a_failure_that_says_nothing_of_usage_tells_none():
    assert (await refused(rich(Code.UNAVAILABLE, info("UPSTREAM_OVERLOADED")))).usage is None


async def test_a_line_that_goes_dead_in_silence_is_noticed_by_keepalive(monkeypatch):
    quick = dict.fromkeys(("grpc.keepalive_time_ms", "grpc.keepalive_timeout_ms", "grpc.http2.ping_timeout_ms"), 500)
    assert quick.keys() <= dict(address.OPTIONS).keys()
    monkeypatch.setattr(address, "OPTIONS", tuple({**dict(address.OPTIONS), **quick}.items()))
    async with (
        upstream_and_provider([START, HELLO, never]) as (upstream, _),
        Relay(upstream.port) as relay,
        aclosing(GrpcProvider.from_config(config(f"127.0.0.1:{relay.port}"), None)) as far,
        aclosing(far.stream(ask(), "m")) as batches,
    ):
        assert await anext(batches) == (UpstreamStart("record-1"),)
        assert await anext(batches) == (TextDelta(text="Hello"),)
        relay.hold()
        with pytest.raises(errors.UpstreamStreamBroken):
            async with asyncio.timeout(10):
                await anext(batches)


async def test_an_upstream_that_dies_in_midstream_breaks_the_stream():
    async with (
        upstream_and_provider([START, HELLO, never]) as (upstream, provider),
        aclosing(provider.stream(ask(), "m")) as batches,
    ):
        assert await anext(batches) == (UpstreamStart("record-1"),)
        assert await anext(batches) == (TextDelta(text="Hello"),)
        await upstream.server.stop(None)
        with pytest.raises(errors.UpstreamStreamBroken):
            await anext(batches)


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (Code.INVALID_ARGUMENT, errors.InvalidRequest),
        (Code.NOT_FOUND, errors.ModelNotFound),
        (Code.UNAUTHENTICATED, errors.CredentialsRejected),
        (Code.PERMISSION_DENIED, errors.CredentialsRejected),
        (Code.RESOURCE_EXHAUSTED, errors.UpstreamRateLimited),
        (Code.UNIMPLEMENTED, errors.CapabilityNotSupported),
        (Code.DEADLINE_EXCEEDED, errors.UpstreamTimeout),
        (Code.UNAVAILABLE, errors.UpstreamServerError),
        (Code.UNKNOWN, errors.UpstreamServerError),
        (Code.CANCELLED, errors.UpstreamServerError),
    ],
)
async def test_a_bare_status_counts_by_its_code(code, error):
    raised = await refused((code, "said so"))
    assert type(raised) is error
    assert raised.fault.code == code.name


async def test_a_request_that_is_too_long_for_the_upstream_is_the_callers_to_shorten():
    words = "CLIENT: Received message larger than max (9 vs. 4)"
    assert type(await refused((Code.RESOURCE_EXHAUSTED, words))) is errors.InvalidRequest


@pytest.mark.parametrize(
    ("reason", "error"),
    [
        ("INTERNAL", errors.UpstreamServerError),
        ("CALLER_UNAUTHENTICATED", errors.CredentialsRejected),
        ("PERMISSION_DENIED", errors.CredentialsRejected),
        ("CALLER_RATE_LIMITED", errors.UpstreamRateLimited),
        ("CALLER_BUDGET_EXCEEDED", errors.UpstreamQuotaExhausted),
        ("METHOD_NOT_IMPLEMENTED", errors.CapabilityNotSupported),
        ("NO_PROVIDER_AVAILABLE", errors.UpstreamOverloaded),
        ("PROXY_OVERLOADED", errors.UpstreamOverloaded),
        ("DRAINING", errors.UpstreamOverloaded),
        ("SLOW_CONSUMER", errors.UpstreamStreamBroken),
        ("CALLER_CANCELLED", errors.UpstreamServerError),
        ("LOOP_DETECTED", errors.LoopDetected),
        ("OF_A_LATER_VERSION", errors.UpstreamServerError),
    ],
)
async def test_a_reason_counts_as_it_is_seen_from_here(reason, error):
    assert type(await refused(rich(Code.ABORTED, info(reason)))) is error


async def test_a_reason_of_another_domain_says_nothing():
    assert type(await refused(rich(Code.NOT_FOUND, info("PROMPT_BLOCKED", domain="x")))) is errors.ModelNotFound


async def test_details_that_cannot_be_read_leave_the_code():
    garbage = (("grpc-status-details-bin", b"\xff\xff"),)
    assert type(await refused((Code.NOT_FOUND, "", garbage))) is errors.ModelNotFound


async def test_fields_waits_and_variables_are_kept():
    violation = error_details_pb2.BadRequest.FieldViolation(field="generation.seed", description="too big")
    wait = error_details_pb2.RetryInfo(retry_delay={"seconds": 7})
    details = info("UNSUPPORTED_PARAMETER", fields="generation.seed", requestId="theirs")
    bad = error_details_pb2.BadRequest(field_violations=[violation])
    raised = await refused(rich(Code.INVALID_ARGUMENT, details, bad, wait))
    assert type(raised) is errors.UnsupportedParameter
    assert raised.violations == (errors.FieldViolation("generation.seed", "too big"),)
    assert raised.retry_after == 7.0
    assert raised.metadata == {"fields": "generation.seed"}


@pytest.mark.parametrize("code", [Code.UNAUTHENTICATED, Code.UNAVAILABLE])
async def test_an_error_never_repeats_our_key(code):
    raised = await refused(rich(code, info("X", given="test-key"), message="no test-key"), api_key="test-key")
    assert "test-key" not in repr((raised, raised.fault, raised.metadata, raised.message))


async def test_an_answer_without_candidates_is_none():
    assert type(await refused(chat_pb2.ChatResponse(id="x"))) is errors.UpstreamProtocolError
    assert type(await refused(b"\xff\xff")) is errors.UpstreamProtocolError


async def test_vectors_that_are_missing_are_noticed():
    async with upstream_and_provider([embed_pb2.EmbedResponse()]) as (_, provider):
        with pytest.raises(errors.UpstreamProtocolError):
            await provider.embed(EmbedRequest("m", (TextPart(text="a"),)), "m")


async def test_keys_take_turns_as_bearer_tokens_beside_the_configured_headers():
    health = [health_pb2.HealthResponse()]
    fields = {"api_keys": ["test-key-1", "test-key-2"], "headers": {"X-Team": "search"}}
    async with upstream_and_provider(*[health] * 3, **fields) as (upstream, provider):
        for _ in range(3):
            await provider.probe()
    keys = [metadata["authorization"] for metadata in upstream.metadata]
    assert keys == ["Bearer test-key-1", "Bearer test-key-2", "Bearer test-key-1"]
    assert {metadata["x-team"] for metadata in upstream.metadata} == {"search"}


async def test_a_short_header_is_no_secret():
    raised = await refused((Code.UNAVAILABLE, "Room 1 burns."), headers={"x-shard": "1"})
    assert raised.fault.message == "Room 1 burns."


async def test_a_proxy_of_the_environment_gets_no_call(monkeypatch):
    for variable in ("http_proxy", "https_proxy", "grpc_proxy"):
        monkeypatch.setenv(variable, "http://127.0.0.1:1")
    async with upstream_and_provider([health_pb2.HealthResponse()], api_key="test-key") as (_, provider):
        await provider.probe()


@pytest.mark.parametrize("status", [health_pb2.SERVING_STATUS_NOT_SERVING, health_pb2.SERVING_STATUS_DRAINING])
async def test_a_probe_fails_where_the_upstream_takes_no_calls(status):
    async with upstream_and_provider([health_pb2.HealthResponse(status=status)]) as (_, provider):
        with pytest.raises(errors.UpstreamOverloaded):
            await provider.probe()


def page(*ids, token=""):
    models = [model_pb2.Model(id=each, capabilities=[1, 99], max_input_tokens=8) for each in ids]
    return [model_pb2.ListModelsResponse(models=models, next_page_token=token)]


async def test_models_are_listed_page_by_page_less_names_that_only_a_loop_makes():
    endless = "/".join(["far"] * 9)
    async with upstream_and_provider(page("a", endless, token="t"), page("b/c")) as (upstream, provider):
        models = await provider.list_models()
    assert [(model.name, model.max_input_tokens) for model in models] == [("a", 8), ("b/c", 8)]
    assert [capability.name for capability in models[0].capabilities] == ["CHAT"]
    assert models[0].input_modalities is None
    assert model_pb2.ListModelsRequest.FromString(upstream.requests[1]).page_token == "t"


async def test_a_list_of_models_that_does_not_end_is_refused():
    async with upstream_and_provider(*[page("a", token="again")] * 101) as (_, provider):
        with pytest.raises(errors.UpstreamProtocolError):
            await provider.list_models()


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"base_url": None}, "needs a base_url"),
        ({"base_url": "http://127.0.0.1:1/v1"}, "path"),
        ({"base_url": "http://llm.example.com:1", "api_key": "test-key"}, "unencrypted"),
        ({"base_url": "http://llm.example.com:1", "headers": {"Authorization": "test-key"}}, "unencrypted"),
        ({"headers": {"grpc-timeout": "1S"}}, "grpc-timeout"),
        ({"headers": {"x-bin": "1"}}, "x-bin"),
        ({"headers": {"x!": "1"}}, "x!"),
    ],
)
async def test_what_grpc_cannot_carry_or_nobody_should_see_is_refused(fields, why):
    given = {"name": "far", "kind": "grpc", "base_url": "http://127.0.0.1:1", **fields}
    with pytest.raises(ValueError, match=re.escape(why)):
        GrpcProvider.from_config(ProviderConfig.model_validate(given), None)


@pytest.mark.parametrize("place", ["http://[::1]:1", "http://localhost", "https://llm.example.com"])
async def test_addresses_need_no_port(place):
    given = {"name": "far", "kind": "grpc", "base_url": place, "api_key": "test-key"}
    async with aclosing(GrpcProvider.from_config(ProviderConfig.model_validate(given), None)) as provider:
        assert provider.features("m").tools


@pytest.mark.parametrize("place", ["127.0.0.1:9", "localhost:9", "llm.example.invalid:9"])
async def test_files_that_the_proxy_has_run_out_of_are_its_own_affair(place):
    async with aclosing(GrpcProvider.from_config(config(place), None)) as provider:
        with no_files(), pytest.raises(errors.ProxyOverloaded) as raised:
            await provider.chat(ask(), "m")
        assert raised.value.retry_after == 1.0


@pytest.mark.parametrize(
    "words",
    [
        "DNS resolution failed for far.test:9: C-ares status is not ARES_SUCCESS",
        "errors resolving far.test:9: [field:hostname lookup error:address lookup failed: Domain name not found]",
        "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:9: Connection refused",
    ],
)
def test_a_name_that_is_not_found_and_a_port_where_nobody_listens_are_unreachable(words):
    nothing = grpc.aio.Metadata()
    error = grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, nothing, nothing, details=words)
    assert type(failure(error, late=False, begun=False, connected=False, secrets=())) is errors.UpstreamUnreachable


@pytest.mark.parametrize("why", ["Too many open files", "Cannot allocate memory", "Connection refused"])
@pytest.mark.parametrize(
    ("script", "error"), [([], errors.UpstreamServerError), ([START, HELLO], errors.UpstreamStreamBroken)]
)
async def test_what_the_upstream_has_run_out_of_is_no_shortage_of_the_proxys(script, error, why):
    """It passes on what gRPC has said to it of its own connections, word for word as gRPC says it here."""
    words = f"failed to connect to all addresses; last error: UNKNOWN: ipv4:10.0.0.9:443: connect: {why}"
    with pytest.raises(errors.UpstreamError) as raised:
        await streamed(*script, (Code.UNAVAILABLE, words))
    assert type(raised.value) is error
