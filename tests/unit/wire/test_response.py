from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmproxy_grpc import messages as m
from llmproxy_grpc._gen.v1 import chat_pb2, generation_pb2
from llmproxy_grpc.calls import ANONYMOUS, Attempt, Call
from llmproxy_grpc.errors import Fault, UpstreamOverloaded, UpstreamTimeout
from llmproxy_grpc.wire import from_attempt, from_response, from_usage, to_message
from tests.unit.wire.values import PARTS

INT32_MAX = 2**31 - 1


def describe(error):
    return (14, 16) if isinstance(error, UpstreamTimeout) else (13, 30)


def call(**fields):
    defaults = {
        "id": "0190",
        "method": "Chat",
        "request_id": "r",
        "caller": ANONYMOUS,
        "create_time": datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
        "started_at": 0.0,
        "deadline_at": 1.0,
        "model": "assistant",
        "provider": "openai",
        "upstream_model": "gpt",
    }
    return Call(**(defaults | fields))


def candidate(text="hi", **fields):
    return m.Candidate(
        index=fields.pop("index", 0),
        message=m.Message(m.Role.ASSISTANT, (m.TextPart(text=text),)),
        finish_reason=m.FinishReason.STOP,
        **fields,
    )


def respond(*candidates, of=None, **fields):
    return from_response(m.ProviderResponse(candidates, **fields), of or call(), describe=describe)


def test_an_answer_says_what_and_when_and_by_whom():
    got = respond(candidate(matched_stop_sequence="END"), usage=m.Usage(1, 2, 3))
    assert (got.id, got.model) == ("0190", "assistant")
    assert (got.route.provider, got.route.upstream_model) == ("openai", "gpt")
    assert got.candidates[0].matched_stop_sequence == "END"
    assert got.create_time.ToDatetime(UTC) == call().create_time
    assert got.candidates[0].message.parts[0].text == "hi"
    assert got.candidates[0].finish_reason == generation_pb2.FINISH_REASON_STOP
    assert (got.usage.input_tokens, got.usage.output_tokens, got.usage.total_tokens) == (1, 2, 3)
    assert got.usage.source == generation_pb2.USAGE_SOURCE_PROVIDER


def test_the_usage_of_the_call_goes_before_that_of_the_provider():
    priced = m.Usage(1, 2, 3, cost=m.Cost("USD", 17))
    assert respond(of=call(usage=priced), usage=m.Usage(1, 2, 3)).usage.cost.amount_nanos == 17


def test_an_answer_without_usage_has_none_and_without_price_no_cost():
    assert not respond(candidate()).HasField("usage")
    assert not respond(candidate(), usage=m.Usage()).usage.HasField("cost")


def test_log_probabilities_keep_their_alternatives():
    top = (m.TokenLogprob("a", -1.0), m.TokenLogprob("b", float("-inf"), b"\xff"))
    got = respond(candidate(index=1, logprobs=(m.TokenLogprob("a", -1.0, b"a", top),)))
    assert got.candidates[0].index == 1
    assert [item.token for item in got.candidates[0].logprobs[0].top] == ["a", "b"]
    assert got.candidates[0].logprobs[0].top[1].token_bytes == b"\xff"


def test_metadata_stand_under_the_kind_of_the_provider():
    response = m.ProviderResponse((), provider_metadata={"fingerprint": "fp"})
    got = from_response(response, call(provider_kind="openai"), describe=describe)
    assert got.provider_metadata["openai"]["fingerprint"] == "fp"
    assert not from_response(response, call(), describe=describe).provider_metadata


def test_warnings_come_with_the_answer():
    warning = m.Warning("PARAMETER_DROPPED", "generation.seed", "not supported")
    (got,) = from_response(m.ProviderResponse(()), call(warnings=[warning]), describe=describe).warnings
    assert (got.code, got.field, got.message) == ("PARAMETER_DROPPED", "generation.seed", "not supported")


def test_a_route_names_the_failed_attempts_alone():
    failed = Attempt("a", "x", 1.5, UpstreamTimeout("slow", fault=Fault(http_status=504)), m.Usage(input_tokens=9))
    bare = Attempt("b", "y", 0.25, UpstreamOverloaded("busy"))
    tried = call(attempts=[failed, bare, Attempt("c", "z", 1.0)])
    route = from_response(m.ProviderResponse(()), tried, describe=describe).route
    assert [attempt.provider for attempt in route.failed_attempts] == ["a", "b"]
    first = route.failed_attempts[0]
    assert (first.grpc_code, first.reason, first.upstream_http_status) == (14, 16, 504)
    assert first.latency.ToMilliseconds() == 1500
    assert first.usage.input_tokens == 9
    assert not route.failed_attempts[1].HasField("usage")


def test_an_attempt_that_succeeded_has_no_code():
    got = from_attempt(Attempt("c", "z", 0.0), describe=describe)
    assert (got.grpc_code, got.reason) == (0, 0)
    assert got.HasField("latency")


@pytest.mark.parametrize(("given_", "kept"), [(-1, 0), (0, 0), (INT32_MAX, INT32_MAX), (10**20, INT32_MAX)])
def test_counts_are_clamped(given_, kept):
    modality = m.ModalityTokens(m.Modality.IMAGE, given_, given_)
    got = from_usage(m.Usage(given_, given_, given_, given_, given_, given_, (modality,)))
    for name in ("input", "output", "total", "cached_input", "cache_write_input"):
        assert getattr(got, f"{name}_tokens") == kept
    assert got.reasoning_tokens == kept
    assert (got.modality_tokens[0].input_tokens, got.modality_tokens[0].output_tokens) == (kept, kept)


def test_money_and_indices_and_offsets_are_clamped():
    cost = m.Cost("USD", 10**30)
    assert from_usage(m.Usage(cost=cost)).cost.amount_nanos == 2**63 - 1
    assert respond(candidate(index=10**12)).candidates[0].index == INT32_MAX
    citation = m.Citation(start_offset=-5, end_offset=10**12)
    message = m.Message(m.Role.ASSISTANT, (m.TextPart(text="t", citations=(citation,)),))
    part = respond(m.Candidate(0, message, m.FinishReason.STOP)).candidates[0].message.parts[0]
    assert (part.citations[0].start_offset, part.citations[0].end_offset) == (0, INT32_MAX)


def test_lone_surrogates_are_replaced_wherever_they_stand():
    odd = "a\ud800"
    got = from_response(
        m.ProviderResponse((candidate(odd, raw_finish_reason=odd),), provider_metadata={odd: odd}),
        call(
            provider_kind="openai",
            upstream_request_id=odd,
            attempts=[Attempt(odd, "x", 1.0, UpstreamTimeout("slow"))],
            warnings=[m.Warning("CODE", odd, odd)],
        ),
        describe=describe,
    )
    assert got.candidates[0].message.parts[0].text == "a\ufffd"
    assert got.route.upstream_request_id == "a\ufffd"
    assert got.route.failed_attempts[0].provider == "a\ufffd"
    assert got.route.failed_attempts[0].reason == 16
    assert got.provider_metadata["openai"]["a\ufffd"] == "a\ufffd"
    assert got.warnings[0].field == "a\ufffd"


@settings(deadline=None, max_examples=40)
@given(st.lists(PARTS, max_size=3))
def test_whatever_parts_an_answer_has_arrive(parts):
    message = m.Message(m.Role.ASSISTANT, tuple(parts))
    sent = respond(m.Candidate(0, message, m.FinishReason.TOOL_CALLS)).SerializeToString()
    assert to_message(chat_pb2.ChatResponse.FromString(sent).candidates[0].message) == message
