"""What an answer says as a whole: why it ended, what it used, and what it tells beyond the API."""

from collections.abc import Mapping
from typing import Any

from llmproxy_grpc.messages import Citation, FinishReason, Usage
from llmproxy_grpc.providers.counts import LARGEST_COUNT, count
from llmproxy_grpc.providers.jsonio import joined

FINISH_REASONS: Mapping[str, FinishReason] = {
    "end_turn": FinishReason.STOP,
    "stop_sequence": FinishReason.STOP_SEQUENCE,
    "max_tokens": FinishReason.MAX_TOKENS,
    "model_context_window_exceeded": FinishReason.CONTEXT_WINDOW,
    "tool_use": FinishReason.TOOL_CALLS,
    "content_filtered": FinishReason.CONTENT_FILTER,
    "guardrail_intervened": FinishReason.CONTENT_FILTER,
}


def finish_reason(raw: str) -> FinishReason:
    """Reads a stop reason; unknown ones are OTHER."""
    return FINISH_REASONS.get(raw, FinishReason.OTHER)


def read_usage(raw: Any) -> Usage | None:
    """Reads the counts: what was read from or written to the cache is counted beside the input here."""
    if not isinstance(raw, dict):
        return None
    cached, written = count(raw, "cacheReadInputTokens"), count(raw, "cacheWriteInputTokens")
    input_tokens = min(count(raw, "inputTokens") + cached + written, LARGEST_COUNT)
    output_tokens = count(raw, "outputTokens")
    if not input_tokens and not output_tokens:
        return None
    return Usage(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        total_tokens=min(input_tokens + output_tokens, LARGEST_COUNT),
        cached_input_tokens=min(cached, input_tokens),
        cache_write_input_tokens=min(written, input_tokens),
    )


def metadata(trace: Any, more: Any, tier: Any) -> dict[str, Any]:
    """What an answer says beyond the API: what the guardrail saw, what the model added, how it was served."""
    told = {"trace": trace, "additionalModelResponseFields": more, "serviceTier": tier}
    return {name: value for name, value in told.items() if value}


def read_citation(raw: Any) -> tuple[Citation, ...]:
    """A source; its place counts in the document that is cited, so there are no offsets."""
    if not isinstance(raw, dict):
        return ()
    quoted = raw.get("sourceContent")
    texts = [each.get("text") for each in quoted if isinstance(each, dict)] if isinstance(quoted, list) else []
    return (
        Citation(
            uri=_text(raw, "source"),
            title=_text(raw, "title"),
            quoted_text=joined("".join(text for text in texts if isinstance(text, str))),
        ),
    )


def _text(raw: dict[str, Any], name: str) -> str:
    value = raw.get(name)
    return joined(value) if isinstance(value, str) else ""
