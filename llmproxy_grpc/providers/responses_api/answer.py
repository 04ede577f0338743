"""What a response says as a whole: why it ended, what it used, and which error it is."""

from collections.abc import Mapping
from typing import Any

from msgspec.json import encode

from llmproxy_grpc.messages import Citation, FinishReason, JsonObject, Usage
from llmproxy_grpc.providers.counts import LARGEST_COUNT, clipped, count
from llmproxy_grpc.providers.jsonio import joined
from llmproxy_grpc.providers.responses_api.shapes import Answer

_INCOMPLETE: Mapping[str, FinishReason] = {
    "max_output_tokens": FinishReason.MAX_TOKENS,
    "max_tokens": FinishReason.MAX_TOKENS,
    "content_filter": FinishReason.CONTENT_FILTER,
}
_FAILED = frozenset({"failed", "cancelled"})


def error_in(answer: Answer) -> bytes | None:
    """The JSON of the error that a response is; None if it is none."""
    if answer.error:
        return encode({"error": answer.error})
    if answer.status in _FAILED:
        return encode({"error": {"message": f"The response was {answer.status}.", "code": "server_error"}})
    return None


def finish(answer: Answer, *, calls_tools: bool, refused: bool) -> tuple[FinishReason, str]:
    """Why a response ended, in our word and in the provider's."""
    if answer.status == "incomplete":
        details = answer.incomplete_details
        raw = details.get("reason") if isinstance(details, dict) else None
        raw = raw if isinstance(raw, str) else "incomplete"
        return _INCOMPLETE.get(raw, FinishReason.OTHER), raw
    raw = answer.status or ""
    if raw != "completed":
        return FinishReason.OTHER, raw
    if calls_tools:
        return FinishReason.TOOL_CALLS, raw
    return FinishReason.REFUSAL if refused else FinishReason.STOP, raw


def read_usage(raw: Any) -> Usage | None:
    """Reads a `usage` object; None if it holds no count."""
    if not isinstance(raw, dict):
        return None
    input_tokens, output_tokens = count(raw, "input_tokens"), count(raw, "output_tokens")
    if not input_tokens and not output_tokens:
        return None
    return Usage(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        total_tokens=min(input_tokens + output_tokens, LARGEST_COUNT),
        cached_input_tokens=min(_detail(raw, "input_tokens_details", "cached_tokens"), input_tokens),
        cache_write_input_tokens=min(_detail(raw, "input_tokens_details", "cache_write_tokens"), input_tokens),
        reasoning_tokens=min(_detail(raw, "output_tokens_details", "reasoning_tokens"), output_tokens),
    )


def metadata(answer: Answer, asked: str) -> JsonObject:
    """What a response says beyond the API."""
    told = {"model": answer.model if answer.model != asked else None, "service_tier": answer.service_tier}
    return {name: value for name, value in told.items() if value}


def read_annotation(raw: Any) -> tuple[Citation, ...]:
    """The source that an annotation names; none for other annotations."""
    if not isinstance(raw, dict) or raw.get("type") not in {"url_citation", "file_citation"}:
        return ()
    return (
        Citation(
            uri=_text(raw, "url") or _text(raw, "file_id"),
            title=_text(raw, "title") or _text(raw, "filename"),
            start_offset=clipped(raw.get("start_index")),
            end_offset=clipped(raw.get("end_index")),
        ),
    )


def _detail(raw: dict[str, Any], group: str, name: str) -> int:
    details = raw.get(group)
    return count(details, name) if isinstance(details, dict) else 0


def _text(raw: dict[str, Any], name: str) -> str:
    value = raw.get(name)
    return joined(value) if isinstance(value, str) else ""
