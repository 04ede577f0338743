"""Why an answer ended: Anthropic's words as FinishReason, and what else the end tells."""

from collections.abc import Mapping
from typing import Any

from llmproxy_grpc.messages import FinishReason, JsonObject

FINISH_REASONS: Mapping[str, FinishReason] = {
    "end_turn": FinishReason.STOP,
    "stop_sequence": FinishReason.STOP_SEQUENCE,
    "max_tokens": FinishReason.MAX_TOKENS,
    "model_context_window_exceeded": FinishReason.CONTEXT_WINDOW,
    "tool_use": FinishReason.TOOL_CALLS,
    "pause_turn": FinishReason.PAUSED,
    "refusal": FinishReason.REFUSAL,
}


def finish_reason(raw: str) -> FinishReason:
    """Reads a stop reason; unknown ones are OTHER."""
    return FINISH_REASONS.get(raw, FinishReason.OTHER)


def metadata(*, model: Any, asked: str, usage: Any, **told: Any) -> JsonObject:
    """What an answer says beyond the API, as far as somebody may need it.

    Args:
        model: The model that answered, if it says so.
        asked: The model that was asked.
        usage: The counts as they came: the service tier and the use of the provider's own tools stand among them.
        told: Further fields, which count unless they are null.
    """
    found = {name: value for name, value in told.items() if value}
    if isinstance(model, str) and model and model != asked:
        found["model"] = model
    if isinstance(usage, dict):
        found |= {name: usage[name] for name in ("service_tier", "server_tool_use") if usage.get(name)}
    return found
