"""What an answer tells as a whole, however little or odd it is."""

from typing import Any

import pytest

from llmproxy_grpc.messages import Citation, FinishReason, Usage
from llmproxy_grpc.providers.converse.answer import (
    finish_reason,
    matched_stop_sequence,
    metadata,
    read_citation,
    read_usage,
)
from llmproxy_grpc.providers.converse.shapes import Event


@pytest.mark.parametrize(
    ("raw", "unified"),
    [
        ("end_turn", FinishReason.STOP),
        ("stop_sequence", FinishReason.STOP_SEQUENCE),
        ("max_tokens", FinishReason.MAX_TOKENS),
        ("model_context_window_exceeded", FinishReason.CONTEXT_WINDOW),
        ("tool_use", FinishReason.TOOL_CALLS),
        ("guardrail_intervened", FinishReason.CONTENT_FILTER),
        ("content_filtered", FinishReason.CONTENT_FILTER),
        ("malformed_model_output", FinishReason.OTHER),
        ("malformed_tool_use", FinishReason.OTHER),
        ("", FinishReason.OTHER),
    ],
)
def test_every_stop_reason_has_its_unified_one(raw, unified):
    assert finish_reason(raw) is unified


def test_the_cache_is_counted_beside_the_input_and_by_how_long_it_is_kept():
    raw = {
        "inputTokens": 3,
        "outputTokens": 9,
        "totalTokens": 12,
        "cacheReadInputTokens": 20,
        "cacheWriteInputTokens": 10,
        "cacheDetails": [{"ttl": "1h", "inputTokens": 7}, {"ttl": "5m", "inputTokens": 3}, None, {"ttl": "1h"}],
    }
    more = {"usage": {"output_tokens_details": {"thinking_tokens": 4}}}
    assert read_usage(Event(usage=raw), more) == Usage(
        input_tokens=33,
        output_tokens=9,
        total_tokens=42,
        cached_input_tokens=20,
        cache_write_input_tokens=10,
        cache_write_1h_input_tokens=7,
        reasoning_tokens=4,
    )


@pytest.mark.parametrize("more", [None, 1, {}, {"usage": None}, {"usage": {"output_tokens_details": 3}}])
@pytest.mark.parametrize("raw", [None, 1, {}, {"inputTokens": -1, "outputTokens": None}, {"cacheDetails": 3}])
def test_counts_that_are_none_tell_nothing(raw: Any, more: Any):
    assert read_usage(Event(usage=raw), more) is None


def test_details_do_not_exceed_what_they_are_details_of():
    raw = {"inputTokens": 1, "outputTokens": 2, "cacheDetails": [{"ttl": "1h", "inputTokens": 5}]}
    usage = read_usage(Event(usage=raw), {"usage": {"output_tokens_details": {"thinking_tokens": 99}}})
    assert usage is not None
    assert (usage.reasoning_tokens, usage.cache_write_1h_input_tokens) == (2, 0)


@pytest.mark.parametrize(
    ("reason", "more", "matched"),
    [
        (FinishReason.STOP_SEQUENCE, {"stop_sequence": "END"}, "END"),
        (FinishReason.STOP_SEQUENCE, {"stop_sequence": None}, ""),
        (FinishReason.STOP_SEQUENCE, None, ""),
        (FinishReason.STOP, {"stop_sequence": "END"}, ""),
    ],
)
def test_the_stop_sequence_that_matched(reason, more, matched):
    assert matched_stop_sequence(reason, more) == matched


@pytest.mark.parametrize(
    ("raw", "citation"),
    [
        (
            {
                "title": "T",
                "source": "s",
                "sourceContent": [{"text": "so "}, {"text": "it is"}, {"image": 1}, 2],
                "location": {"documentChar": {"documentIndex": 0, "start": 3, "end": 9}},
            },
            Citation(uri="s", title="T", quoted_text="so it is"),
        ),
        (
            {"location": {"web": {"url": "https://example.test/a", "domain": "example.test"}}},
            Citation(uri="https://example.test/a"),
        ),
        ({"source": 3, "title": "\ud83d", "location": {"web": 1}, "sourceContent": "x"}, Citation(title="\ufffd")),
        ({}, Citation()),
    ],
)
def test_a_source_is_what_is_told_of_it(raw, citation):
    assert read_citation(raw) == (citation,)


def test_what_is_no_source_is_none():
    assert read_citation("x") == ()


def test_what_is_told_beyond_the_api_is_passed_on():
    event = Event(trace={"guardrail": {}}, metrics={"latencyMs": 7}, serviceTier={"type": "flex"})
    assert metadata(event, {"a": 1}) == {
        "trace": {"guardrail": {}},
        "additionalModelResponseFields": {"a": 1},
        "serviceTier": {"type": "flex"},
        "metrics": {"latencyMs": 7},
    }
    assert metadata(Event(), None) == {}
