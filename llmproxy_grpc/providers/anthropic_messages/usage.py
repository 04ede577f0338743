"""The arithmetic of token counts: what was read from or written to the cache is counted beside the input here."""

from collections.abc import Mapping
from typing import Any, Final

from llmproxy_grpc.messages import Usage
from llmproxy_grpc.providers.counts import LARGEST_COUNT, count
from llmproxy_grpc.providers.tiers import is_other_tier

_CHARGED: Final = ("web_search_requests", "code_execution_requests")


def read_usage(raw: Any) -> Usage | None:
    """Reads a `usage` object; None if it counts nothing of the prompt."""
    if not isinstance(raw, dict) or not ("input_tokens" in raw or "output_tokens" in raw):
        return None
    entries = [raw, *_compactions(raw.get("iterations"))]
    cached = sum(count(entry, "cache_read_input_tokens") for entry in entries)
    written = sum(count(entry, "cache_creation_input_tokens") for entry in entries)
    input_tokens = min(sum(count(entry, "input_tokens") for entry in entries) + cached + written, LARGEST_COUNT)
    output_tokens = min(sum(count(entry, "output_tokens") for entry in entries), LARGEST_COUNT)
    if not input_tokens:
        return None
    thinking = _part(raw, "output_tokens_details", "thinking_tokens")
    for_an_hour = sum(_part(entry, "cache_creation", "ephemeral_1h_input_tokens") for entry in entries)
    return Usage(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        total_tokens=min(input_tokens + output_tokens, LARGEST_COUNT),
        cached_input_tokens=min(cached, input_tokens),
        cache_write_input_tokens=min(written, input_tokens),
        reasoning_tokens=min(thinking, output_tokens),
        cache_write_1h_input_tokens=min(for_an_hour, written, input_tokens),
        at_other_rates=_at_other_rates(raw),
    )


def merged(before: Any, news: Any) -> Mapping[str, Any]:
    """Counts of a stream so far: they are cumulative, and those left out, or null, stay as they were."""
    known = before if isinstance(before, dict) else {}
    newer = news if isinstance(news, dict) else {}
    return {**known, **{name: value for name, value in newer.items() if value is not None}}


def _at_other_rates(raw: Mapping[str, Any]) -> bool:
    """Whether the call was served otherwise than usual, or used tools that cost a fee each time."""
    served = any(is_other_tier(raw.get(name)) for name in ("service_tier", "speed", "inference_geo"))
    return served or any(_part(raw, "server_tool_use", name) for name in _CHARGED)


def _compactions(iterations: Any) -> list[dict[str, Any]]:
    """What the provider spent on shortening the conversation, which alone of all that it did is not in the sums."""
    if not isinstance(iterations, list):
        return []
    return [entry for entry in iterations if isinstance(entry, dict) and entry.get("type") == "compaction"]


def _part(raw: Mapping[str, Any], whole: str, name: str) -> int:
    details = raw.get(whole)
    return count(details, name) if isinstance(details, dict) else 0
