"""Why a record is left out of a dataset: the keys of ExportSummary.skipped_records."""

from enum import StrEnum

from msgspec import Struct


class SkipReason(StrEnum):
    """Reasons; they are stable, and docs/export_dataset.md explains each."""

    DAMAGED = "damaged"
    NO_CONTENT = "no_content"
    NO_ANSWER = "no_answer"
    EMPTY_MESSAGE = "empty_message"
    TOO_MANY_TOKENS = "too_many_tokens"
    MISPLACED_PART = "misplaced_part"
    OPAQUE_PART = "opaque_part"
    PROVIDER_TOOL = "provider_tool"
    TOOL_SCHEMA_INVALID = "tool_schema_invalid"
    ARGUMENTS_NOT_JSON = "arguments_not_json"
    UNANSWERED_TOOL_CALL = "unanswered_tool_call"
    ORPHAN_TOOL_RESULT = "orphan_tool_result"
    DUPLICATE_TOOL_CALL = "duplicate_tool_call"
    MEDIA_NOT_SUPPORTED = "media_not_supported"


class Skipped(Struct, frozen=True):
    """There is no line, and why."""

    reason: SkipReason


class Unfit(Exception):
    """An example does not fit the format; raised within this room alone, and told as `Skipped`."""

    def __init__(self, reason: SkipReason) -> None:
        super().__init__(reason)
        self.reason = reason
