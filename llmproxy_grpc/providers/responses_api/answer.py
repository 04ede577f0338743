"""What a response says as a whole: why it ended, which error it is, and what it tells beyond the API."""

from collections.abc import Mapping
from typing import Final

from msgspec.json import encode

from llmproxy_grpc.messages import FinishReason, JsonObject
from llmproxy_grpc.providers.jsonio import joined_deeply
from llmproxy_grpc.providers.responses_api.shapes import Ending, Event

_INCOMPLETE: Mapping[str, FinishReason] = {
    "max_output_tokens": FinishReason.MAX_TOKENS,
    "max_tokens": FinishReason.MAX_TOKENS,
    "content_filter": FinishReason.CONTENT_FILTER,
}
COMPLETED: Final = "completed"
INCOMPLETE: Final = "incomplete"
_WAITING = "requires_action"
"""Perplexity's word for an answer that waits for the results of its calls."""
_FAILED = frozenset({"failed", "cancelled"})
UNFINISHED: Final = frozenset({"queued", "in_progress"})


def error_in(answer: Ending) -> bytes | None:
    """The JSON of the error that a response is; None if it is none."""
    if answer.error:
        return encode(joined_deeply({"error": answer.error}))
    status = status_of(answer)
    if status in _FAILED:
        return encode({"error": {"message": f"The response was {status}.", "code": "server_error"}})
    return None


def status_of(answer: Ending) -> str:
    """The word for how far a response is; empty if there is none."""
    return answer.status if isinstance(answer.status, str) else ""


def error_of(event: Event) -> bytes:
    """The JSON of the error that an event is: its fields stand at its top, or below `error`."""
    told = {"code": event.code, "message": event.message, "param": event.param}
    return encode(joined_deeply({"error": event.error or told}))


def finish(answer: Ending, *, calls_tools: bool, refused: bool, cut: bool) -> tuple[FinishReason, str]:
    """Why a response ended, in our word and in the provider's.

    Args:
        answer: The response.
        calls_tools: Whether it calls tools.
        refused: Whether it refuses.
        cut: Whether it was cut by the output limit although it does not say so.
    """
    raw = status_of(answer)
    if raw == INCOMPLETE:
        details = answer.incomplete_details
        reason = details.get("reason") if isinstance(details, dict) else None
        raw = reason if isinstance(reason, str) and reason else raw
        return _INCOMPLETE.get(raw, FinishReason.OTHER), raw
    if raw != COMPLETED and not (raw == _WAITING and calls_tools):
        return FinishReason.OTHER, raw
    if cut:
        return FinishReason.MAX_TOKENS, raw
    if calls_tools:
        return FinishReason.TOOL_CALLS, raw
    return FinishReason.REFUSAL if refused else FinishReason.STOP, raw


def metadata(answer: Ending, asked: str) -> JsonObject:
    """What a response says beyond the API; its id as well, if it was stored, so that it can be continued from."""
    told = {
        "model": answer.model if answer.model != asked else None,
        "service_tier": answer.service_tier,
        "response_id": answer.id if answer.store else None,
    }
    return {name: value for name, value in told.items() if isinstance(value, str) and value}
