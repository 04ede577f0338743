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

_TOLD_BY_USAGE = ("service_tier", "inference_geo", "speed", "server_tool_use", "iterations")
"""What stands among the counts and is no count of tokens: it may change what they cost."""


def finish_reason(raw: str, stop_sequence: str | None) -> FinishReason:
    """Reads a stop reason; unknown ones are OTHER."""
    reason = FINISH_REASONS.get(raw, FinishReason.OTHER)
    # llama.cpp names the sequence that matched, and says that the turn ended.
    return FinishReason.STOP_SEQUENCE if stop_sequence and reason is FinishReason.STOP else reason


def metadata(*, model: Any, asked: str, usage: Any, **told: Any) -> JsonObject:
    """What an answer says beyond the API, as far as somebody may need it.

    Args:
        model: The model that answered, if it says so.
        asked: The model that was asked.
        usage: The counts as they came.
        told: Further fields, which count unless they are null.
    """
    found = {name: value for name, value in told.items() if value}
    if isinstance(model, str) and model and model != asked:
        found["model"] = model
    if isinstance(usage, dict):
        found |= {name: usage[name] for name in _TOLD_BY_USAGE if usage.get(name)}
    return found
