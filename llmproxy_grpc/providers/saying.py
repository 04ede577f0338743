"""What a conversation says where neither texts without a word are sent nor thinking that led to nothing."""

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from llmproxy_grpc.messages import Message, Part, ReasoningPart, RefusalPart, Role, TextPart
from llmproxy_grpc.providers.instructions import INSTRUCTIONS


def says_something(part: Part) -> bool:
    """Whether a part is more than white space, and more than thinking, which is no answer and asks for none."""
    if isinstance(part, TextPart | RefusalPart):
        return bool(part.text.strip())
    return not isinstance(part, ReasoningPart)


def has_words(message: Message) -> bool:
    """Whether anything is said in a message."""
    return any(map(says_something, message.parts))


def without_thoughts_of_nothing(messages: Iterable[Message]) -> Sequence[Message]:
    """The conversation without thinking at the end of the model's turns, as where it was cut: there it is refused."""
    kept: list[Message] = []
    led_on = False
    for message in reversed(tuple(messages)):
        if message.role is Role.ASSISTANT:
            kept.append(message if led_on else _up_to_its_last_word(message))
            led_on = led_on or has_words(message)
        else:
            kept.append(message)
            if message.role not in INSTRUCTIONS and has_words(message):
                led_on = False
    return kept[::-1]


def _up_to_its_last_word(message: Message) -> Message:
    parts = message.parts
    length = len(parts)
    while length and not says_something(parts[length - 1]):
        length -= 1
    return message if length == len(parts) else replace(message, parts=parts[:length])
