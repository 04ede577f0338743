"""Instructions on wires that have them as texts alone, outside the conversation."""

from msgspec.structs import replace

from llmproxy_grpc.messages import MediaPart, Message, Role
from llmproxy_grpc.providers.provider import Adapted, Unsupported

INSTRUCTIONS = frozenset({Role.SYSTEM, Role.DEVELOPER})


def with_texts_as_instructions(adapted: Adapted) -> Adapted:
    """Leaves pictures, documents and the like out of instructions, and names them."""
    found: list[Unsupported] = []
    messages = tuple(_of_texts(message, turn, found) for turn, message in enumerate(adapted.request.messages))
    if not found:
        return adapted
    return Adapted(replace(adapted.request, messages=messages), (*adapted.unsupported, *found), adapted.changes)


def _of_texts(message: Message, turn: int, found: list[Unsupported]) -> Message:
    if message.role not in INSTRUCTIONS or not any(isinstance(part, MediaPart) for part in message.parts):
        return message
    for place, part in enumerate(message.parts):
        if isinstance(part, MediaPart):
            path = f"messages[{turn}].parts[{place}].{part.kind.name.lower()}"
            found.append(Unsupported(path, "instructions are texts alone here"))
    return replace(message, parts=tuple(part for part in message.parts if not isinstance(part, MediaPart)))
