"""Parts of a conversation that have no place where they stand: left out, and named by the caller's paths."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from msgspec.structs import replace

from llmproxy_grpc.messages import Message, Part, ToolResultPart
from llmproxy_grpc.providers.provider import Adapted, Unsupported

PartNumbers = tuple[int, int]
"""Numbers of a message, and of a part in it."""


def without_parts(adapted: Adapted, lacks: Mapping[PartNumbers, str], why: str) -> Adapted:
    """Leaves parts out; messages stay where they are, empty if need be.

    Args:
        adapted: The request.
        lacks: Which parts, with the names of their fields, such as `tool_call`.
        why: Why they have no place.
    """
    if not lacks:
        return adapted
    messages, numbers = list(adapted.request.messages), dict(adapted.numbers)
    for turn in {turn for turn, _ in lacks}:
        path, parts = f"messages[{turn}].parts", messages[turn].parts
        kept = [place for place in range(len(parts)) if (turn, place) not in lacks]
        numbers[path] = adapted.numbers_of(path, kept)
        messages[turn] = replace(messages[turn], parts=tuple(parts[place] for place in kept))
    found = (
        Unsupported(f"{adapted.path(f'messages[{turn}].parts', place)}.{field}", why)
        for (turn, place), field in lacks.items()
    )
    return _rest(adapted, messages, numbers, found)


def without_parts_of_results(
    adapted: Adapted, lacks: Callable[[Sequence[Part]], Mapping[int, str]], why: str
) -> Adapted:
    """Leaves parts out of the results of tools; the results stay where they are, empty if need be.

    Args:
        adapted: The request.
        lacks: Which parts of a result, by their numbers there, with the names of their fields, such as `image`.
        why: Why they have no place.
    """
    messages, numbers = list(adapted.request.messages), dict(adapted.numbers)
    found: list[Unsupported] = []
    for turn, message in enumerate(messages):
        others: dict[int, Part] = {}
        for place, part in enumerate(message.parts):
            if isinstance(part, ToolResultPart) and (fields := lacks(part.content)):
                path = f"{adapted.path(f'messages[{turn}].parts', place)}.tool_result.content"
                found += [Unsupported(f"{adapted.path(path, number)}.{field}", why) for number, field in fields.items()]
                kept = [number for number in range(len(part.content)) if number not in fields]
                numbers[path] = adapted.numbers_of(path, kept)
                others[place] = replace(part, content=tuple(part.content[number] for number in kept))
        if others:
            parts = tuple(others.get(place, part) for place, part in enumerate(message.parts))
            messages[turn] = replace(message, parts=parts)
    return _rest(adapted, messages, numbers, found) if found else adapted


def _rest(
    adapted: Adapted, messages: Iterable[Message], numbers: Mapping[str, Sequence[int]], found: Iterable[Unsupported]
) -> Adapted:
    request = replace(adapted.request, messages=tuple(messages))
    return replace(adapted, request=request, unsupported=(*adapted.unsupported, *found), numbers=numbers)
