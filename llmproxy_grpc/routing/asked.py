"""A request as the choice of a target sees it: measured once at most, and only where somebody wants to know."""

from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Final, Generic

from llmproxy_grpc.messages import (
    ChatRequest,
    EmbedRequest,
    JsonSchemaFormat,
    MediaKind,
    MediaPart,
    Part,
    ReasoningConfig,
    ReasoningEffort,
    ToolResultPart,
    Usage,
)
from llmproxy_grpc.messages.sizes import BYTES_PER_TOKEN
from llmproxy_grpc.routing.operations import Answer, Operation, Request
from llmproxy_grpc.routing.stickiness import conversation_of

EXPECTED_OUTPUT: Final = 256
"""Tokens that an answer is taken to have, before it is there."""

_KINDS: Final = {
    MediaKind.IMAGE: "vision",
    MediaKind.AUDIO: "audio",
    MediaKind.VIDEO: "video",
    MediaKind.DOCUMENT: "documents",
}


class Asked(Generic[Request, Answer]):
    """One request of one kind.

    Attributes:
        operation: Its kind.
        request: What is asked.
    """

    def __init__(self, operation: Operation[Request, Answer], request: Request) -> None:
        self.operation = operation
        self.request = request

    @cached_property
    def prompt_tokens(self) -> int:
        """How many tokens the prompt has, by an estimate."""
        return self.operation.prompt(self.request)

    @cached_property
    def needs(self) -> frozenset[str]:
        """What it needs of a model besides text, in the words of the configuration."""
        return frozenset(_needs(self.request))

    @cached_property
    def conversation(self) -> bytes:
        """What it has in common with the other calls of its conversation; empty if it belongs to none."""
        return conversation_of(self.request)

    @cached_property
    def usage(self) -> Usage | None:
        """What an answer is expected to use; None for nothing."""
        return self.operation.estimate(self.request, self._output_tokens() * BYTES_PER_TOKEN)

    def room(self, request: Request) -> int:
        """How many tokens a target must take for the request, in the form that its route gives it."""
        return self.operation.room(request, self.prompt_tokens)

    def _output_tokens(self) -> int:
        if isinstance(self.request, EmbedRequest):
            return 0
        most = self.request.generation.max_output_tokens
        return EXPECTED_OUTPUT if most is None else min(EXPECTED_OUTPUT, most)


def _needs(request: ChatRequest | EmbedRequest) -> Iterator[str]:
    if isinstance(request, EmbedRequest):
        yield from _media(request.inputs)
        return
    if request.tools:
        yield "tools"
    if isinstance(request.generation.response_format, JsonSchemaFormat):
        yield "json_schema"
    if _thinks(request.generation.reasoning):
        yield "reasoning"
    for message in request.messages:
        yield from _media(message.parts)


def _thinks(reasoning: ReasoningConfig | None) -> bool:
    """Whether thinking is asked for: none of it, or merely that it be shown, asks for nothing."""
    if reasoning is None:
        return False
    return bool(reasoning.budget_tokens) or reasoning.effort > ReasoningEffort.NONE


def _media(parts: Iterable[Part]) -> Iterator[str]:
    for part in parts:
        if isinstance(part, MediaPart):
            yield _KINDS[part.kind]
        elif isinstance(part, ToolResultPart):
            yield from _media(part.content)
