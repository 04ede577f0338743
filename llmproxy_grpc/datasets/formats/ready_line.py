"""Whether a stored OPENAI_CHAT line may leave as it is: the rules of the format, without taking its texts apart."""

from typing import Literal

import msgspec
from msgspec import Raw, Struct

from llmproxy_grpc.datasets.formats.tool_names import USUAL
from llmproxy_grpc.datasets.skipping import Skipped, SkipReason


class _Function(Struct, gc=False, forbid_unknown_fields=True):
    name: str
    arguments: str


class _Call(Struct, gc=False, forbid_unknown_fields=True):
    id: str
    type: Literal["function"]
    function: _Function


class _Message(Struct, gc=False, forbid_unknown_fields=True):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Raw
    reasoning_content: Raw = Raw()
    name: Raw = Raw()
    tool_calls: list[_Call] = []
    tool_call_id: str = ""


class _Line(Struct, gc=False, forbid_unknown_fields=True):
    messages: list[_Message]
    tools: Raw = Raw()
    parallel_tool_calls: bool = False


_LINE = msgspec.json.Decoder(_Line)


def check(line: bytes) -> Skipped | None:
    """Says why a line must not leave; None if it may."""
    if line.find(b"\n") != len(line) - 1:
        return Skipped(SkipReason.DAMAGED)
    try:
        messages = _LINE.decode(line).messages
    except (ValueError, RecursionError):
        return Skipped(SkipReason.DAMAGED)
    if not messages or messages[-1].role != "assistant":
        return Skipped(SkipReason.NO_ANSWER)
    return _check_tool_calls(messages)


def _check_tool_calls(messages: list[_Message]) -> Skipped | None:
    waiting: set[str] = set()
    for message in messages:
        if message.role == "tool":
            if message.tool_call_id not in waiting:
                return Skipped(SkipReason.ORPHAN_TOOL_RESULT)
            waiting.discard(message.tool_call_id)
        elif waiting:
            return Skipped(SkipReason.UNANSWERED_TOOL_CALL)
        elif message.tool_calls:
            waiting = {call.id for call in message.tool_calls}
            if len(waiting) != len(message.tool_calls):
                return Skipped(SkipReason.DUPLICATE_TOOL_CALL)
            if not all(USUAL.fullmatch(call.function.name) for call in message.tool_calls):
                return Skipped(SkipReason.TOOL_NAME_INVALID)
        elif bytes(message.content) in {b'""', b"null"}:
            return Skipped(SkipReason.EMPTY_MESSAGE)
    return None
