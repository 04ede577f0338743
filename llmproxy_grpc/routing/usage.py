"""Estimates of what a call used, for providers that do not say and for streams that broke."""

from collections.abc import Iterable
from typing import Final

from llmproxy_grpc.messages import (
    ChatRequest,
    Part,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    Usage,
    UsageSource,
)

# English text has about four characters a token with every common tokenizer; other scripts have fewer.
CHARACTERS_PER_TOKEN: Final = 4


def estimate(request: ChatRequest, output_characters: int) -> Usage:
    """Usage by the length of the texts, labelled as an estimate."""
    prompt = sum(characters(message.parts) for message in request.messages)
    input_tokens = _tokens(prompt)
    output_tokens = _tokens(output_characters)
    return Usage(input_tokens, output_tokens, input_tokens + output_tokens, source=UsageSource.ESTIMATE)


def characters(parts: Iterable[Part]) -> int:
    """How many characters of text the parts hold."""
    total = 0
    for part in parts:
        match part:
            case TextPart() | ReasoningPart() | RefusalPart():
                total += len(part.text)
            case ToolCallPart():
                total += len(part.name) + len(part.arguments_json)
            case ToolResultPart():
                total += characters(part.content)
            case _:
                pass
    return total


def _tokens(count: int) -> int:
    return -(-count // CHARACTERS_PER_TOKEN)
