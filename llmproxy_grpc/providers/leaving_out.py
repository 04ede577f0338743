"""Parts of a conversation that have no place where they stand: left out, and named by the caller's paths."""

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from llmproxy_grpc.providers.provider import Adapted, Unsupported

Place = tuple[int, int]
"""Numbers of a message, and of a part in it."""


def without_parts(adapted: Adapted, lacks: Mapping[Place, str], why: str) -> Adapted:
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
        before: Sequence[int] = adapted.numbers.get(path, range(len(parts)))
        numbers[path] = tuple(before[place] for place in kept)
        messages[turn] = replace(messages[turn], parts=tuple(parts[place] for place in kept))
    request = replace(adapted.request, messages=tuple(messages))
    unsupported = (*adapted.unsupported, *named(adapted, lacks, why))
    return replace(adapted, request=request, unsupported=unsupported, numbers=numbers)


def named(adapted: Adapted, lacks: Mapping[Place, str], why: str) -> list[Unsupported]:
    """The same parts by the caller's paths."""
    return [
        Unsupported(f"{adapted.path(f'messages[{turn}].parts', place)}.{field}", why)
        for (turn, place), field in lacks.items()
    ]
