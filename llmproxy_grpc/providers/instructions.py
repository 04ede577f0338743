"""Instructions on wires that have them as texts alone, outside the conversation."""

from llmproxy_grpc.messages import MediaPart, Role
from llmproxy_grpc.providers.leaving_out import without_parts
from llmproxy_grpc.providers.provider import Adapted

INSTRUCTIONS = frozenset({Role.SYSTEM, Role.DEVELOPER})


def with_texts_as_instructions(adapted: Adapted) -> Adapted:
    """Leaves pictures, documents and the like out of instructions, and names them."""
    media = {
        (turn, place): part.kind.name.lower()
        for turn, message in enumerate(adapted.request.messages)
        if message.role in INSTRUCTIONS
        for place, part in enumerate(message.parts)
        if isinstance(part, MediaPart)
    }
    return without_parts(adapted, media, "instructions are texts alone here")
