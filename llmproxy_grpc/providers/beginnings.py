"""How a conversation begins where the first words have to be the user's, and instructions stand outside of it."""

from collections.abc import Callable
from typing import Final

from msgspec.structs import replace

from llmproxy_grpc.messages import Message, Part, Role, ToolCallPart, ToolResultPart
from llmproxy_grpc.providers.instructions import INSTRUCTIONS
from llmproxy_grpc.providers.provider import Adapted, Change, Unsupported
from llmproxy_grpc.providers.saying import has_words

_FIRST: Final = "this provider wants the user to speak first"


def begun_by_the_user(adapted: Adapted, refused: Callable[[Message], bool]) -> Adapted:
    """Leaves out what the model said before the user, and the results of its calls, and names them.

    Args:
        adapted: The request.
        refused: Says of a message of the model whether it may not stand before the user's words.
    """
    messages = list(adapted.request.messages)
    if _speaks_first(messages) is not Role.ASSISTANT:  # nearly always
        return adapted
    numbers, gone, heard = dict(adapted.numbers), set[str](), False
    found: list[Unsupported] = []
    for turn, message in enumerate(messages):
        if message.role is Role.USER:
            heard = heard or has_words(message)
        elif message.role is Role.ASSISTANT and not heard and has_words(message) and refused(message):
            found.append(Unsupported(f"messages[{turn}].role", _FIRST))
            gone |= {part.id for part in message.parts if isinstance(part, ToolCallPart)}
            messages[turn] = replace(message, parts=())
        elif message.role is Role.TOOL and gone:
            path = f"messages[{turn}].parts"
            lost = dict.fromkeys(place for place, part in enumerate(message.parts) if _answers(part, gone))
            kept = [place for place in range(len(message.parts)) if place not in lost]
            found += [Unsupported(f"{adapted.path(path, place)}.tool_result", _FIRST) for place in lost]
            numbers[path] = adapted.numbers_of(path, kept)
            messages[turn] = replace(message, parts=tuple(message.parts[place] for place in kept))
    request = replace(adapted.request, messages=tuple(messages))
    return replace(adapted, request=request, unsupported=(*adapted.unsupported, *found), numbers=numbers)


def with_words_of_the_user(adapted: Adapted) -> Adapted:
    """Gives the user the last of instructions that stand alone, which would be no conversation, and says so."""
    messages = adapted.request.messages
    if _speaks_first(messages) is not None:  # nearly always
        return adapted
    last = max((turn for turn, message in enumerate(messages) if has_words(message)), default=None)
    if last is None:
        return adapted
    said = (*messages[:last], replace(messages[last], role=Role.USER), *messages[last + 1 :])
    change = Change(f"messages[{last}].role", "this provider wants words of the user besides; the user says this")
    request = replace(adapted.request, messages=said)
    return replace(adapted, request=request, changes=(*adapted.changes, change))


def calls_a_tool(message: Message) -> bool:
    """Whether a message has a tool call."""
    return any(isinstance(part, ToolCallPart) for part in message.parts)


def _speaks_first(messages: list[Message] | tuple[Message, ...]) -> Role | None:
    """Whose the first words are, instructions aside; None if there are none."""
    return next((each.role for each in messages if each.role not in INSTRUCTIONS and has_words(each)), None)


def _answers(part: Part, gone: set[str]) -> bool:
    """Whether a part is the result of a call that is gone; an id may come again once its call is answered."""
    if not isinstance(part, ToolResultPart) or part.tool_call_id not in gone:
        return False
    gone.discard(part.tool_call_id)
    return True
