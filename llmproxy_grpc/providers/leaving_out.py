"""Parts of a conversation that have no place where they stand: left out, and named by the caller's paths."""

from collections.abc import Mapping

from msgspec.structs import replace

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
    request = replace(adapted.request, messages=tuple(messages))
    found = (
        Unsupported(f"{adapted.path(f'messages[{turn}].parts', place)}.{field}", why)
        for (turn, place), field in lacks.items()
    )
    return replace(adapted, request=request, unsupported=(*adapted.unsupported, *found), numbers=numbers)
