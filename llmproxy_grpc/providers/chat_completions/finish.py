"""Why an answer ended: the vendors' words as FinishReason."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from llmproxy_grpc.errors import ProxyError, UpstreamServerError, UpstreamStreamBroken
from llmproxy_grpc.messages import FinishReason

# Words that OpenAI does not use come from servers whose engine's own word shines through.
FINISH_REASONS: Mapping[str, FinishReason] = {
    "stop": FinishReason.STOP,
    "eos": FinishReason.STOP,
    "end_turn": FinishReason.STOP,
    "stop_sequence": FinishReason.STOP_SEQUENCE,
    "length": FinishReason.MAX_TOKENS,
    "max_tokens": FinishReason.MAX_TOKENS,
    "model_length": FinishReason.CONTEXT_WINDOW,
    "tool_calls": FinishReason.TOOL_CALLS,
    "tool_use": FinishReason.TOOL_CALLS,
    "function_call": FinishReason.TOOL_CALLS,
    "content_filter": FinishReason.CONTENT_FILTER,
    "refusal": FinishReason.REFUSAL,
}

BROKEN = "error"
"""The word of gateways for an answer that failed midway; no finish at all."""


def failed(*, output: bool) -> ProxyError:
    """The error of an answer that says that it failed: behind some output, or before any."""
    if output:
        return UpstreamStreamBroken("The provider failed in the middle of its answer.")
    return UpstreamServerError("The provider failed before its answer began.")


class Finish(Struct, frozen=True):
    """Why a candidate ended, in our word and in the provider's."""

    reason: FinishReason
    raw: str
    matched_stop_sequence: str = ""


def finish(raw: str, *, tool_calls: bool, refused: bool, matched: Any = None) -> Finish:
    """Reads a finish reason in the light of what came before it.

    Args:
        raw: The provider's word; empty if it gave none.
        tool_calls: Whether the candidate calls tools: several servers say `stop` all the same.
        refused: Whether the candidate holds a refusal, which OpenAI ends with `stop`.
        matched: The stop sequence that matched, where the server tells; anything but a text is ignored.
    """
    reason = FINISH_REASONS.get(raw, FinishReason.OTHER)
    if reason is FinishReason.STOP or not raw:
        if tool_calls:
            return Finish(FinishReason.TOOL_CALLS, raw)
        if refused:
            return Finish(FinishReason.REFUSAL, raw)
        if isinstance(matched, str) and matched:
            return Finish(FinishReason.STOP_SEQUENCE, raw, matched)
    return Finish(reason, raw)
