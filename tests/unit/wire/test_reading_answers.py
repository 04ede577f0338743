"""What an upstream of our own API may send that this version would not."""

from array import array

import pytest

from llmproxy_grpc import messages as m
from llmproxy_grpc import wire
from llmproxy_grpc._gen.v1 import chat_pb2, embed_pb2, generation_pb2
from tests.unit.wire.test_response import call, describe


def test_a_finish_from_the_future_is_another_one():
    finish = wire.to_finish(chat_pb2.CandidateFinish(finish_reason=99, raw_finish_reason="melted"))
    assert finish == m.CandidateFinish(0, m.FinishReason.OTHER, "melted")
    (candidate,) = wire.to_response(chat_pb2.ChatResponse(candidates=[{"finish_reason": 99}])).candidates
    assert candidate.finish_reason is m.FinishReason.OTHER


def test_a_delta_from_the_future_is_none():
    assert wire.to_delta(chat_pb2.ContentDelta(continuity_token=b"t")) is None
    assert wire.to_delta(chat_pb2.ContentDelta.FromString(b"\xa2\x06\x01x")) is None


def test_an_empty_text_with_a_token_is_a_delta():
    assert wire.to_delta(chat_pb2.ContentDelta(text="", continuity_token=b"t")) == m.TextDelta(
        text="", continuity_token=b"t"
    )


def test_negative_counts_are_none_and_odd_kinds_of_tokens_are_left_out():
    usage = generation_pb2.Usage(
        input_tokens=-5,
        output_tokens=7,
        modality_tokens=[{"modality": 99, "input_tokens": 1}, {"modality": 2, "output_tokens": -1}],
        source=99,
    )
    assert wire.to_usage(usage) == m.Usage(
        0, 7, modality_tokens=(m.ModalityTokens(m.Modality.IMAGE),), source=m.UsageSource.UNSPECIFIED
    )


def test_log_probabilities_that_are_none_are_left_out():
    odd = [{"token": "x", "logprob": float(value)} for value in ("nan", "inf", "-inf")]
    sent = [{"token": "a", "logprob": -0.5, "top": [*odd, {"token": "b", "logprob": -1}]}, *odd]
    (candidate,) = wire.to_response(chat_pb2.ChatResponse(candidates=[{"logprobs": sent}])).candidates
    assert candidate.logprobs == (m.TokenLogprob("a", -0.5, top=(m.TokenLogprob("b", -1.0),)),)


@pytest.mark.parametrize(
    ("currency", "nanos"),
    [
        ("", 1),
        ("usd", 1),
        ("USDX", 1),
        ("USD\n", 1),
        ("ÜSD", 1),
        ('Z\nevil{a="b"} 1', 1),
        ("Z" * 2000, 1),
        ("USD", -1),
        ("USD", -(2**63)),
        ("USD", 2**63 - 1),
    ],
)
def test_a_cost_that_cannot_be_is_left_out(currency, nanos):
    usage = generation_pb2.Usage(input_tokens=3, cost={"currency_code": currency, "amount_nanos": nanos})
    assert wire.to_usage(usage) == m.Usage(3, source=m.UsageSource.UNSPECIFIED)


@pytest.mark.parametrize("nanos", [0, 1, 10**18])
def test_a_cost_that_can_be_is_kept(nanos):
    usage = generation_pb2.Usage(cost={"currency_code": "CHF", "amount_nanos": nanos})
    assert wire.to_usage(usage).cost == m.Cost("CHF", nanos)


def test_the_largest_counts_are_what_32_bits_hold():
    most = 2**31 - 1
    usage = wire.to_usage(generation_pb2.Usage(input_tokens=most, output_tokens=-(2**31), total_tokens=most))
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (most, 0, most)


def test_an_answer_without_usage_has_none():
    assert wire.to_response(chat_pb2.ChatResponse()) == m.ProviderResponse(())
    assert wire.to_embed_response(embed_pb2.EmbedResponse()) == m.EmbedResponse(())


def test_a_vector_that_was_not_packed_is_read_as_well():
    unpacked = b"\x0d\0\0\x80\x3f\x0d\0\0\0\x40"
    assert list(embed_pb2.Embedding.FromString(unpacked).values) == [1.0, 2.0]
    response = embed_pb2.EmbedResponse(embeddings=[embed_pb2.Embedding.FromString(unpacked), {}])
    assert wire.to_embed_response(response).vectors == (array("f", [1.0, 2.0]), array("f"))


def test_a_vector_with_fields_from_the_future_is_read():
    odd = embed_pb2.Embedding.FromString(embed_pb2.Embedding(values=[1.5]).SerializeToString() + b"\x12\x03abc")
    assert wire.to_embed_response(embed_pb2.EmbedResponse(embeddings=[odd])).vectors == (array("f", [1.5]),)


def test_what_stands_behind_a_relaying_provider_keeps_its_kind():
    said = m.ProviderResponse((), provider_metadata={"id": "1"}, relayed_metadata={"openai": {"tier": "x"}})
    got = wire.from_response(said, call(provider_kind="grpc"), describe=describe).provider_metadata
    assert {kind: wire.to_json(struct) for kind, struct in got.items()} == {
        "grpc": {"id": "1"},
        "openai": {"tier": "x"},
    }
    end = m.UpstreamEnd(provider_metadata={"id": "1"}, relayed_metadata={"openai": {"tier": "x"}})
    streamed = wire.end_event(0, end, call(provider_kind="grpc"), describe=describe).end.provider_metadata
    assert wire.to_metadata(streamed) == wire.to_metadata(got)


def test_a_warning_is_an_event():
    event = wire.warning_event(3, m.Warning("CODE", "field", "words"))
    assert (event.sequence, event.WhichOneof("event")) == (3, "warning")
    assert wire.to_warning(event.warning) == m.Warning("CODE", "field", "words")
    assert wire.warning_event(0, m.Warning("", "", "")).WhichOneof("event") == "warning"
