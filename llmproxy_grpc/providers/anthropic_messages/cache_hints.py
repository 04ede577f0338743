"""Which cache hints can be honoured: four of them, on what can be marked, and none that outlives one before it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from llmproxy_grpc.messages import (
    CacheHint,
    ChatRequest,
    Message,
    Part,
    ReasoningPart,
    RefusalPart,
    Role,
    TextPart,
    ToolResultPart,
)
from llmproxy_grpc.providers.anthropic_messages.generations import Generation
from llmproxy_grpc.providers.instructions import INSTRUCTIONS
from llmproxy_grpc.providers.provider import Adapted, Change, Unsupported
from llmproxy_grpc.providers.saying import has_words

MOST_CACHE_HINTS: Final = 4
_FIVE_MINUTES: Final = 300.0
_AN_HOUR: Final = 3600.0


def cache_control(hint: CacheHint) -> dict[str, str]:
    """A hint as the API has it."""
    if hint.ttl is None:
        return {"type": "ephemeral"}
    return {"type": "ephemeral", "ttl": "1h" if _for_an_hour(hint) else "5m"}


def with_possible_hints(adapted: Adapted, generation: Generation) -> Adapted:
    """Leaves out the hints that cannot be sent, and lengthens those that something kept longer stands behind."""
    marks = _marks(adapted, generation)
    if not marks:
        return adapted
    possible = [mark for mark in marks if mark.possible]
    # The API marks the end of a prompt by itself if it is told so, which counts as one.
    room = MOST_CACHE_HINTS - ("cache_control" in adapted.request.provider_options.get("anthropic", {}))
    kept = possible[max(0, len(possible) - room) :]
    lengthened = list(_lengthened(kept))
    hints = {(mark.turn, mark.place): mark.hint for mark in kept}
    hints |= {(mark.turn, mark.place): CacheHint(_AN_HOUR) for mark in lengthened}
    why = "it is kept for an hour, as what comes behind it"
    return replace(
        adapted,
        request=_with_hints(adapted.request, hints),
        unsupported=(*adapted.unsupported, *(_left_out(mark) for mark in marks if mark not in kept)),
        changes=(*adapted.changes, *(Change(f"{mark.path}.ttl", why) for mark in lengthened)),
    )


class _Mark(Struct, frozen=True):
    """A hint, and where it stands."""

    turn: int
    place: int
    path: str
    hint: CacheHint
    possible: bool
    """Whether the API lets it be marked."""
    order: tuple[int, int]
    """Where it stands on the wire: the turn, 0 for the instructions before the conversation, and the place in it."""


def _marks(adapted: Adapted, generation: Generation) -> list[_Mark]:
    """All hints, in the order of the wire, where instructions stand first."""
    messages = adapted.request.messages
    found = [
        (turn, place, *hinted)
        for turn, message in enumerate(messages)
        for place, part in enumerate(message.parts)
        if (hinted := _hint_of(part)) is not None
    ]
    if not found:  # nearly always
        return []
    turns = _turns(messages, generation)
    marks: list[_Mark] = []
    for turn, place, hint, number in found:
        part = messages[turn].parts[place]
        # In a turn of the user results stand first, and instructions last.
        within = 2 if messages[turn].role in INSTRUCTIONS else 0 if isinstance(part, ToolResultPart) else 1
        path = f"{_path(adapted, turn, place, number)}.cache_hint"
        marks.append(_Mark(turn, place, path, hint, _can_be_marked(part), (turns[turn], within)))
    return sorted(marks, key=lambda mark: mark.order)


def _turns(messages: Sequence[Message], generation: Generation) -> list[int]:
    """The number of the turn where each message stands on the wire: 0 for instructions before the conversation."""
    turns: list[int] = []
    waiting: list[int] = []
    spoken, by_model = 0, False
    for number, message in enumerate(messages):
        if message.role in INSTRUCTIONS:
            later = generation.later_instructions and spoken > 0
            # Behind the model's words they wait for a turn of the user, and stand first where none comes.
            waiting += [number] * (later and by_model)
            turns.append(spoken if later and not by_model else 0)
            continue
        # What says nothing, such as a message of which nothing is left, makes no turn.
        if has_words(message):
            if not spoken or (message.role is Role.ASSISTANT) is not by_model:
                spoken, by_model = spoken + 1, message.role is Role.ASSISTANT
            for instruction in waiting if not by_model else ():
                turns[instruction] = spoken
            waiting = []
        turns.append(spoken)
    return turns


def _hint_of(part: Part) -> tuple[CacheHint, int | None] | None:
    """A part's hint, and the number of what in a result it stands on; of several, the last holds for the whole."""
    if part.cache_hint is not None:
        return part.cache_hint, None
    if not isinstance(part, ToolResultPart):
        return None
    for index, item in reversed(tuple(enumerate(part.content))):
        if item.cache_hint is not None:
            return item.cache_hint, index
    return None


def _path(adapted: Adapted, turn: int, place: int, number: int | None) -> str:
    part = adapted.path(f"messages[{turn}].parts", place)
    return part if number is None else adapted.path(f"{part}.tool_result.content", number)


def _can_be_marked(part: Part) -> bool:
    return not isinstance(part, ReasoningPart) and not (
        isinstance(part, TextPart | RefusalPart) and not part.text.strip()
    )


def _lengthened(marks: Sequence[_Mark]) -> Iterator[_Mark]:
    """The marks for five minutes that have one for an hour behind them, which is an error on this wire."""
    last = max((index for index, mark in enumerate(marks) if _for_an_hour(mark.hint)), default=0)
    return (mark for mark in marks[:last] if not _for_an_hour(mark.hint))


def _for_an_hour(hint: CacheHint) -> bool:
    return hint.ttl is not None and hint.ttl > _FIVE_MINUTES


def _left_out(mark: _Mark) -> Unsupported:
    surplus = f"this provider takes {MOST_CACHE_HINTS} at most: the last ones are kept"
    return Unsupported(mark.path, surplus if mark.possible else "thinking and empty texts cannot be marked")


def _with_hints(request: ChatRequest, hints: Mapping[tuple[int, int], CacheHint]) -> ChatRequest:
    """The request with these hints and no others, none of them within a result."""
    messages: list[Message] = []
    for turn, message in enumerate(request.messages):
        parts = tuple(_marked(part, hints.get((turn, place))) for place, part in enumerate(message.parts))
        messages.append(replace(message, parts=parts))
    return replace(request, messages=tuple(messages))


def _marked(part: Part, hint: CacheHint | None) -> Part:
    if isinstance(part, ToolResultPart) and any(item.cache_hint is not None for item in part.content):
        content = tuple(item if item.cache_hint is None else replace(item, cache_hint=None) for item in part.content)
        return replace(part, cache_hint=hint, content=content)
    return part if part.cache_hint == hint else replace(part, cache_hint=hint)
