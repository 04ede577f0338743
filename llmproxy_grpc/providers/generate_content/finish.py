"""Why an answer ended: Google's words as FinishReason."""

from collections.abc import Mapping

from llmproxy_grpc.messages import FinishReason

FINISH_REASONS: Mapping[str, FinishReason] = {
    "STOP": FinishReason.STOP,
    "MAX_TOKENS": FinishReason.MAX_TOKENS,
    "CONTINUATION": FinishReason.PAUSED,
    **dict.fromkeys(
        (
            "SAFETY",
            "RECITATION",
            "LANGUAGE",
            "BLOCKLIST",
            "PROHIBITED_CONTENT",
            "SPII",
            "MODEL_ARMOR",
            "IMAGE_SAFETY",
            "IMAGE_PROHIBITED_CONTENT",
            "IMAGE_RECITATION",
            "ESCALATION",
        ),
        FinishReason.CONTENT_FILTER,
    ),
}


def finish_reason(raw: str, *, calls_tools: bool) -> FinishReason:
    """Reads a finish reason; a candidate that calls tools says `STOP` all the same, unknown ones are OTHER."""
    reason = FINISH_REASONS.get(raw, FinishReason.OTHER)
    return FinishReason.TOOL_CALLS if calls_tools and reason is FinishReason.STOP else reason
