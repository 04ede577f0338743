"""What an answer says as a whole: why it ended, what it used, and what it tells beyond the API."""

from collections.abc import Mapping
from typing import Any, Final

from llmproxy_grpc.messages import Citation, FinishReason, Usage
from llmproxy_grpc.providers.converse.shapes import Ending
from llmproxy_grpc.providers.counts import LARGEST_COUNT, count
from llmproxy_grpc.providers.jsonio import joined
from llmproxy_grpc.providers.tiers import is_other_tier

FINISH_REASONS: Final[Mapping[str, FinishReason]] = {
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


def matched_stop_sequence(reason: FinishReason, more: Any) -> str:
    """The stop sequence that ended the answer, if the model's own fields tell; they are asked for it."""
    if reason is not FinishReason.STOP_SEQUENCE or not isinstance(more, dict):
        return ""
    return _text(more, "stop_sequence")


def read_usage(said: Ending, more: Any) -> Usage | None:
    """Reads the counts: what was read from or written to the cache is counted beside the input here.

    None if nothing of the prompt is counted.

    Args:
        said: What Converse says, with its counts.
        more: The model's own fields, which know how much of the output is thinking, if they were asked for it.
    """
    raw = said.usage
    if not isinstance(raw, dict):
        return None
    cached, written = count(raw, "cacheReadInputTokens"), count(raw, "cacheWriteInputTokens")
    input_tokens = min(count(raw, "inputTokens") + cached + written, LARGEST_COUNT)
    output_tokens = count(raw, "outputTokens")
    if not input_tokens:
        return None
    return Usage(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        total_tokens=min(input_tokens + output_tokens, LARGEST_COUNT),
        cached_input_tokens=min(cached, input_tokens),
        cache_write_input_tokens=min(written, input_tokens),
        reasoning_tokens=min(_thinking_tokens(more), output_tokens),
        cache_write_1h_input_tokens=min(_written_for_an_hour(raw), written, input_tokens),
        at_other_rates=_is_other(said.serviceTier, "type") or _is_other(said.performanceConfig, "latency"),
    )


def metadata(said: Ending, more: Any) -> dict[str, Any]:
    """What an answer says beyond the API: what a guardrail saw, what the model added, how it was served."""
    told = {
        "trace": said.trace,
        "additionalModelResponseFields": more,
        "performanceConfig": said.performanceConfig,
        "serviceTier": said.serviceTier,
        "metrics": said.metrics,
    }
    return {name: value for name, value in told.items() if value}


def read_citation(raw: Any) -> tuple[Citation, ...]:
    """A source; its place counts in the document that is cited, so there are no offsets."""
    if not isinstance(raw, dict):
        return ()
    quoted = raw.get("sourceContent")
    texts = [each.get("text") for each in quoted if isinstance(each, dict)] if isinstance(quoted, list) else []
    return (
        Citation(
            uri=_address(raw) or _text(raw, "source"),
            title=_text(raw, "title"),
            quoted_text=joined("".join(text for text in texts if isinstance(text, str))),
        ),
    )


def _address(raw: dict[str, Any]) -> str:
    location = raw.get("location")
    web = location.get("web") if isinstance(location, dict) else None
    return _text(web, "url") if isinstance(web, dict) else ""


def _text(raw: dict[str, Any], name: str) -> str:
    value = raw.get(name)
    return joined(value) if isinstance(value, str) else ""


def _is_other(raw: Any, name: str) -> bool:
    return isinstance(raw, dict) and is_other_tier(raw.get(name))


def _written_for_an_hour(raw: dict[str, Any]) -> int:
    details = raw.get("cacheDetails")
    written = [each for each in details if isinstance(each, dict)] if isinstance(details, list) else []
    return sum(count(each, "inputTokens") for each in written if each.get("ttl") == "1h")


def _thinking_tokens(more: Any) -> int:
    usage = more.get("usage") if isinstance(more, dict) else None
    details = usage.get("output_tokens_details") if isinstance(usage, dict) else None
    return count(details, "thinking_tokens") if isinstance(details, dict) else 0
