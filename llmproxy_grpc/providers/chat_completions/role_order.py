"""Conversations for models that take each role in its place alone, as Mistral's do.

There the results of tools follow their calls at once, and each call has one before the model speaks again; instructions
stand before a turn of the model, never behind it; and the last word is not the model's.
"""

from collections.abc import Iterable
from typing import Final

from msgspec.structs import replace

from llmproxy_grpc.messages import (
    ChatRequest,
    Message,
    OpaquePart,
    RefusalPart,
    Role,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from llmproxy_grpc.providers.answered_calls import as_turns, with_answered_calls
from llmproxy_grpc.providers.instructions import INSTRUCTIONS
from llmproxy_grpc.providers.provider import Adapted, Change, Unsupported

_OF_THE_MODEL: Final = frozenset({Role.ASSISTANT, Role.TOOL})
_SAID: Final = ToolCallPart | ToolResultPart | OpaquePart
_NOBODY: Final = Message(Role.USER, (TextPart(text=""),))


def with_roles_in_order(adapted: Adapted) -> Adapted:
    """Rearranges a conversation; what has no place in any order is left out, and named."""
    adapted = with_answered_calls(adapted)
    request = adapted.request
    found: list[Unsupported] = []
    changes: list[Change] = []
    numbered = [(turn, message) for turn, message in enumerate(request.messages) if _is_sent(message)]
    if not request.begun:
        numbered = _ending_with_others(numbered, found, changes)
    ordered = _ordered(message for _, message in numbered)
    if ordered and ordered[0].role is Role.ASSISTANT:
        ordered.insert(0, _NOBODY)  # a call of the very first message would wait for no results
    messages = tuple(as_turns(ordered))
    if messages == request.messages:
        return adapted
    changed: ChatRequest = replace(request, messages=messages)
    return replace(
        adapted,
        request=changed,
        unsupported=(*adapted.unsupported, *found),
        changes=(*adapted.changes, *changes),
    )


def _is_sent(message: Message) -> bool:
    """Whether a message has anything to say: thinking alone says nothing, and an empty one of the model is refused."""
    return message.role not in _OF_THE_MODEL or any(
        part.text if isinstance(part, TextPart | RefusalPart) else isinstance(part, _SAID) for part in message.parts
    )


def _ending_with_others(
    numbered: list[tuple[int, Message]], found: list[Unsupported], changes: list[Change]
) -> list[tuple[int, Message]]:
    """The conversation with somebody else's last word than the model's."""
    rest = list(numbered)
    while rest and rest[-1][1].role is Role.ASSISTANT:
        turn, _ = rest.pop()
        found.append(Unsupported(f"messages[{turn}].role", "this provider answers to the user and to tools alone"))
    last: list[tuple[int, Message]] = []
    while rest and rest[-1][1].role in INSTRUCTIONS:
        last.append(rest.pop())
    if rest and rest[-1][1].role is Role.ASSISTANT:
        why = "this provider takes no instructions behind the model's words; the user says this"
        changes.extend(Change(f"messages[{turn}].role", why) for turn, _ in reversed(last))
        last = [(turn, replace(message, role=Role.USER)) for turn, message in last]
    return rest + last[::-1]


def _ordered(messages: Iterable[Message]) -> list[Message]:
    """Results behind their calls, and instructions before the turn of the model that they came behind."""
    ordered: list[Message] = []
    turn = results = 0
    for message in messages:
        answering = bool(ordered) and ordered[-1].role in _OF_THE_MODEL
        if message.role in INSTRUCTIONS and answering:
            ordered.insert(turn, message)
            turn, results = turn + 1, results + 1
        elif message.role is Role.TOOL:
            ordered.insert(results, message)
            results += 1
        else:
            ordered.append(message)
        if message.role is Role.ASSISTANT:
            turn = turn if answering else len(ordered) - 1
            results = len(ordered)
    return ordered
