"""Why a record is left out of a dataset: the keys of ExportSummary.skipped_records."""

from enum import StrEnum

from msgspec import Struct


class SkipReason(StrEnum):
    """Reasons; they are stable, and docs/export_dataset.md explains each."""

    # of the record
    DAMAGED = "damaged"
    NO_CONTENT = "no_content"
    NO_ANSWER = "no_answer"
    NO_PAIR = "no_pair"
    NO_LABEL = "no_label"
    EQUAL_SIDES = "equal_sides"
    TOO_MANY_TOKENS = "too_many_tokens"
    # of its turns
    EMPTY_MESSAGE = "empty_message"
    MISPLACED_PART = "misplaced_part"
    OPAQUE_PART = "opaque_part"
    NO_QUESTION = "no_question"
    CONSECUTIVE_TURNS = "consecutive_turns"
    FIRST_NOT_USER = "first_not_user"
    LATE_INSTRUCTIONS = "late_instructions"
    TAGS_IN_THINKING = "tags_in_thinking"
    MEDIA_NOT_SUPPORTED = "media_not_supported"
    # of its tools
    PROVIDER_TOOL = "provider_tool"
    TOOLS_NOT_SUPPORTED = "tools_not_supported"
    TOOL_NAME_INVALID = "tool_name_invalid"
    TOOL_SCHEMA_INVALID = "tool_schema_invalid"
    ARGUMENTS_NOT_JSON = "arguments_not_json"
    DUPLICATE_KEYS = "duplicate_keys"
    TEXT_BESIDE_TOOL_CALL = "text_beside_tool_call"
    UNANSWERED_TOOL_CALL = "unanswered_tool_call"
    ORPHAN_TOOL_RESULT = "orphan_tool_result"
    DUPLICATE_TOOL_CALL = "duplicate_tool_call"
    # of what it gives away
    REDACTED = "redacted"
    REDACTION_FAILED = "redaction_failed"


class Skipped(Struct, frozen=True):
    """There is no line, and why."""

    reason: SkipReason


class Unfit(Exception):
    """An example does not fit the format; raised within this room alone, and told as `Skipped`."""

    def __init__(self, reason: SkipReason) -> None:
        super().__init__(reason)
        self.reason = reason
