"""Conversations for models that take each role in its place alone, as Mistral's do.

There the results of tools follow their calls at once, and each call has one before the model speaks again; instructions
stand before a turn of the model, never behind it; and the last word is not the model's.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from msgspec.structs import replace

from llmproxy_grpc.messages import (
    ChatRequest,
    Message,
    OpaquePart,
    Part,
    RefusalPart,
    Role,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from llmproxy_grpc.providers.answered_calls import UNANSWERED, as_turns, unanswered
from llmproxy_grpc.providers.instructions import INSTRUCTIONS
from llmproxy_grpc.providers.leaving_out import named
from llmproxy_grpc.providers.provider import Adapted, Change, Unsupported

_OF_THE_MODEL: Final = frozenset({Role.ASSISTANT, Role.TOOL})
_SAID: Final = ToolCallPart | ToolResultPart | OpaquePart
_NOBODY: Final = Message(Role.USER, (TextPart(text=""),))


def with_roles_in_order(adapted: Adapted) -> Adapted:
    """Rearranges a conversation; what has no place in any order is left out, and named."""
    request = adapted.request
    found: list[Unsupported] = []
    changes: list[Change] = []
    numbered = _with_answered_calls(adapted, found)
    if not request.begun:
        numbered = _ending_with_others(numbered, found, changes)
    messages = tuple(_as_turns(_ordered(message for _, message in numbered)))
    if messages == request.messages:
        return adapted
    changed: ChatRequest = replace(request, messages=messages)
    return replace(
        adapted,
        request=changed,
        unsupported=(*adapted.unsupported, *found),
        changes=(*adapted.changes, *changes),
    )


def _with_answered_calls(adapted: Adapted, found: list[Unsupported]) -> list[tuple[int, Message]]:
    """The messages that say something, by their numbers, without calls whose result does not come in time."""
    messages = adapted.request.messages
    places = unanswered(messages)
    found.extend(named(adapted, places, UNANSWERED))
    kept: list[tuple[int, Message]] = []
    changed = {turn for turn, _ in places}
    for turn, message in enumerate(messages):
        if turn in changed:
            parts = (part for place, part in enumerate(message.parts) if (turn, place) not in places)
            message = replace(message, parts=tuple(parts))  # noqa: PLW2901 - what is left of it
        if message.role not in _OF_THE_MODEL or _says_something(message.parts):
            kept.append((turn, message))
    return kept


def _says_something(parts: Iterable[Part]) -> bool:
    """Whether anything is left to say: thinking alone says nothing, and an empty message is refused."""
    return any(part.text if isinstance(part, TextPart | RefusalPart) else isinstance(part, _SAID) for part in parts)


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


def _as_turns(messages: Sequence[Message]) -> Iterator[Message]:
    if messages and messages[0].role is Role.ASSISTANT:
        yield _NOBODY  # a call of the very first message would wait for no results
    yield from as_turns(messages)
