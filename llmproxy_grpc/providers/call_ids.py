"""Ids of tool calls as providers want them: of letters that they know, and each of them once in a conversation."""

import re
from base64 import b32encode
from collections.abc import Callable, Iterable
from hashlib import blake2s
from operator import is_
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from llmproxy_grpc.messages import Message, Part, Role, ToolCallPart, ToolResultPart

_WITH_IDS: Final = frozenset({Role.ASSISTANT, Role.TOOL})


class IdForm(Struct, frozen=True):
    """What ids a provider takes, and how others are named: the same in every request, so that its cache still fits."""

    known: re.Pattern[str]
    name: Callable[[str], str]


class CallIds:
    """The ids of one conversation; what another provider called otherwise, or twice, gets a name of ours.

    Args:
        form: What the provider takes.
    """

    def __init__(self, form: IdForm) -> None:
        self._form = form
        self._used: set[str] = set()
        self._given: dict[str, str] = {}

    def of_call(self, call_id: str) -> str:
        """The id of the next call."""
        given = self._taken(call_id)
        if given in self._used:
            given = self._form.name(f"{call_id} {len(self._used)}")
        self._used.add(given)
        self._given[call_id] = given
        return given

    def of_result(self, call_id: str) -> str:
        """The id of the call that a result answers: the latest one of this id."""
        return self._given.get(call_id) or self._taken(call_id)

    def _taken(self, call_id: str) -> str:
        return call_id if self._form.known.fullmatch(call_id) else self._form.name(call_id)


def with_ids(messages: Iterable[Message], form: IdForm) -> tuple[Message, ...]:
    """A conversation whose calls and results have ids of a form."""
    ids = CallIds(form)
    return tuple(_with_ids(message, ids) if message.role in _WITH_IDS else message for message in messages)


def at_most(length: int) -> IdForm:
    """Ids of at most so many characters, 29 or more."""
    return IdForm(re.compile(f".{{1,{length}}}"), _named)


def _with_ids(message: Message, ids: CallIds) -> Message:
    parts = tuple(_with_id(part, ids) for part in message.parts)
    return message if all(map(is_, parts, message.parts)) else replace(message, parts=parts)


def _with_id(part: Part, ids: CallIds) -> Part:
    match part:
        case ToolCallPart(id=call_id) if (given := ids.of_call(call_id)) != call_id:
            return replace(part, id=given)
        case ToolResultPart(tool_call_id=call_id) if (given := ids.of_result(call_id)) != call_id:
            return replace(part, tool_call_id=given)
        case _:
            return part


def _digest(call_id: str) -> bytes:
    return blake2s(call_id.encode("utf-8", "replace"), digest_size=12).digest()


def _named(call_id: str) -> str:
    return f"call_{_digest(call_id).hex()}"


CLAUDE: Final = IdForm(re.compile(r"[a-zA-Z0-9_-]{1,64}"), _named)
NINE: Final = IdForm(re.compile(r"[a-zA-Z0-9]{9}"), lambda call_id: b32encode(_digest(call_id))[:9].decode())
"""Nine letters and digits, Mistral's."""
