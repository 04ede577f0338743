"""Requests to providers are written at once, or beside the event loop if that takes long."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from llmproxy_grpc.aside import MANY, aside
from llmproxy_grpc.messages import (
    ChatRequest,
    EmbedRequest,
    MediaPart,
    OpaquePart,
    Part,
    ProviderTool,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)

_BYTES: Final = 4096
"""Of text or media, which take as long as one value: a mebibyte takes up to 2 ms."""

_P = ParamSpec("_P")
_R = TypeVar("_R")
_Q = TypeVar("_Q", ChatRequest, EmbedRequest)


async def written(write: Callable[Concatenate[_Q, _P], _R], request: _Q, *args: _P.args, **kwargs: _P.kwargs) -> _R:
    """Writes a request, in whatever way."""
    if is_long(request):
        return await aside(write, request, *args, **kwargs)
    return write(request, *args, **kwargs)


def is_long(request: ChatRequest | EmbedRequest) -> bool:
    """Whether a request takes long to write: by its messages, parts and free values, of some 1 to 3 µs each."""
    weight = _of_values(request.provider_options) if request.provider_options else 0
    if isinstance(request, EmbedRequest):
        return weight >= MANY or _of_parts(request.inputs, weight) >= MANY
    if len(request.messages) >= MANY:
        return True
    for tool in request.tools:
        if isinstance(tool, ProviderTool):
            weight += _of_values(tool.config)
    for message in request.messages:
        if weight >= MANY:
            return True
        weight = _of_parts(message.parts, weight)
    return weight >= MANY


def _of_parts(parts: Sequence[Part], weight: int) -> int:
    """What a weight comes to with these parts; no more than it takes to be long."""
    for part in parts:
        if part.__class__ is TextPart:  # nearly always
            weight += 1 + len(part.text) // _BYTES
        elif isinstance(part, ToolResultPart):
            weight = _of_parts(part.content, weight + 1)
        else:
            weight += _of_part(part)
        if weight >= MANY:
            break
    return weight


def _of_part(part: Part) -> int:
    match part:
        case TextPart() | ReasoningPart() | RefusalPart():
            return 1 + len(part.text) // _BYTES
        case ToolCallPart():
            return 1 + len(part.arguments_json) // _BYTES
        case MediaPart():
            return 1 + len(part.data or b"") // _BYTES
        case OpaquePart():
            return _of_values(part.value)
        case _:
            return 1


def _of_values(value: Any) -> int:
    """One for each value, however deep; no more than it takes to be long."""
    rest, weight = [value], 0
    while rest and weight < MANY:
        inner = rest.pop()
        weight += 1
        if isinstance(inner, Mapping):
            rest.extend(inner.values())
        elif isinstance(inner, list | tuple):
            rest.extend(inner)
    return weight
