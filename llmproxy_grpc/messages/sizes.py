"""How large texts are, and how many tokens that makes where nobody has counted them."""

from collections.abc import Iterable
from typing import Final

from llmproxy_grpc.messages.content import (
    Part,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)

BYTES_PER_TOKEN: Final = 4
"""Of English text, by most vocabularies; others have fewer."""


def size_of(parts: Iterable[Part]) -> int:
    """How many bytes of text the parts hold."""
    total = 0
    for part in parts:
        match part:
            case TextPart() | ReasoningPart() | RefusalPart():
                total += text_size(part.text)
            case ToolCallPart():
                total += text_size(part.name) + text_size(part.arguments_json)
            case ToolResultPart():
                total += size_of(part.content)
            case _:
                pass
    return total


def text_size(text: str) -> int:
    """The size of a text in UTF-8, in bytes."""
    return len(text) if text.isascii() else len(text.encode(errors="replace"))


def tokens_in(size: int) -> int:
    """Tokens of a text of so many bytes."""
    return -(-size // BYTES_PER_TOKEN)
