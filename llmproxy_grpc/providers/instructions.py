"""Instructions on wires that have them as texts alone, outside the conversation."""

from msgspec.structs import replace

from llmproxy_grpc.messages import MediaPart, Message, Role
from llmproxy_grpc.providers.provider import Adapted, Unsupported

INSTRUCTIONS = frozenset({Role.SYSTEM, Role.DEVELOPER})


def with_texts_as_instructions(adapted: Adapted) -> Adapted:
    """Leaves pictures, documents and the like out of instructions, and names them."""
    found: list[Unsupported] = []
    numbers = dict(adapted.numbers)
    messages = list(adapted.request.messages)
    for turn, message in enumerate(messages):
        if message.role not in INSTRUCTIONS or not any(isinstance(part, MediaPart) for part in message.parts):
            continue
        path = f"messages[{turn}].parts"
        found += _media_in(message, path, adapted)
        texts = [place for place, part in enumerate(message.parts) if not isinstance(part, MediaPart)]
        numbers[path] = adapted.numbers_of(path, texts)
        messages[turn] = replace(message, parts=tuple(message.parts[place] for place in texts))
    if not found:
        return adapted
    request = replace(adapted.request, messages=tuple(messages))
    return replace(adapted, request=request, unsupported=(*adapted.unsupported, *found), numbers=numbers)


def _media_in(message: Message, path: str, adapted: Adapted) -> list[Unsupported]:
    return [
        Unsupported(f"{adapted.path(path, place)}.{part.kind.name.lower()}", "instructions are texts alone here")
        for place, part in enumerate(message.parts)
        if isinstance(part, MediaPart)
    ]
