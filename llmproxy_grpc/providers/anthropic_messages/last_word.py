"""What Claude takes of a conversation that ends with its own words: the beginning of an answer, or nothing."""

from typing import Final

from msgspec.structs import replace

from llmproxy_grpc.messages import Message, RefusalPart, Role, TextPart
from llmproxy_grpc.providers.anthropic_messages.generations import Generation
from llmproxy_grpc.providers.instructions import INSTRUCTIONS
from llmproxy_grpc.providers.provider import Adapted, Change, Unsupported
from llmproxy_grpc.providers.saying import says_something

_NO_PREFILL: Final = "this model answers to the user and to tools alone"
_NO_WHITE_SPACE: Final = "this provider takes no white space at the end of an answer that has begun"


def with_possible_last_word(adapted: Adapted, generation: Generation) -> Adapted:
    """Leaves out last words of the model that it would not go on from, and white space at their end.

    A turn that ends with a block of the provider's own is one that it has paused, and goes on with.
    """
    if not generation.claude:
        return adapted
    request, found, changes = adapted.request, list(adapted.unsupported), list(adapted.changes)
    messages = list(request.messages)
    while (last := _last_text(messages)) is not None:
        turn, place = last
        if not generation.prefill:
            found.append(Unsupported(f"messages[{turn}].role", _NO_PREFILL))
            messages[turn] = replace(messages[turn], parts=())
            continue
        part = messages[turn].parts[place]
        if isinstance(part, TextPart | RefusalPart) and part.text != part.text.rstrip():
            changes.append(Change(adapted.path(f"messages[{turn}].parts", place), _NO_WHITE_SPACE))
            parts = list(messages[turn].parts)
            parts[place] = replace(part, text=part.text.rstrip())
            messages[turn] = replace(messages[turn], parts=tuple(parts))
        break
    if tuple(messages) == request.messages:
        return adapted
    request = replace(request, messages=tuple(messages))
    return replace(adapted, request=request, unsupported=tuple(found), changes=tuple(changes))


def _last_text(messages: list[Message]) -> tuple[int, int] | None:
    """Where the last word is, if it is a text of the model: numbers of the message and of the part."""
    for turn in range(len(messages) - 1, -1, -1):
        message = messages[turn]
        if message.role in INSTRUCTIONS:
            continue
        for place in range(len(message.parts) - 1, -1, -1):
            if says_something(message.parts[place]):
                is_text = isinstance(message.parts[place], TextPart | RefusalPart)
                return (turn, place) if is_text and message.role is Role.ASSISTANT else None
    return None
