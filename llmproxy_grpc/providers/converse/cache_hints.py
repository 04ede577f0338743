"""Which cache hints can be honoured: as many as Anthropic's API takes, each for as long as the model keeps it."""

from collections.abc import Iterable
from typing import Final

from msgspec.structs import replace

from llmproxy_grpc.messages import CacheHint, Message, Part, ToolResultPart
from llmproxy_grpc.providers.anthropic_messages import cache_hints
from llmproxy_grpc.providers.anthropic_messages.generations import generation_of
from llmproxy_grpc.providers.provider import Adapted, Change

_LONGEST_SHORT: Final = 300.0
"""Seconds of the default; whoever wants more gets an hour, the other of the two."""
_CLAUDE_THREE: Final = generation_of("claude-3-haiku")
"""As with its models, all instructions stand before the conversation on this wire."""


def is_long(hint: CacheHint) -> bool:
    """Whether a prompt is to be kept for an hour."""
    return hint.ttl is not None and hint.ttl > _LONGEST_SHORT


def with_possible_hints(adapted: Adapted, *, long_cache: bool) -> Adapted:
    """Leaves out the hints that cannot be sent, and shortens those that a model keeps for five minutes alone."""
    return cache_hints.with_possible_hints(adapted if long_cache else _shortened(adapted), _CLAUDE_THREE)


def _shortened(adapted: Adapted) -> Adapted:
    changes: list[Change] = []
    messages = tuple(
        _message(message, f"messages[{turn}]", adapted, changes)
        for turn, message in enumerate(adapted.request.messages)
    )
    if not changes:
        return adapted
    request = replace(adapted.request, messages=messages)
    return replace(adapted, request=request, changes=(*adapted.changes, *changes))


def _message(message: Message, path: str, adapted: Adapted, changes: list[Change]) -> Message:
    before = len(changes)
    parts = _parts(message.parts, f"{path}.parts", adapted, changes)
    return message if len(changes) == before else replace(message, parts=parts)


def _parts(parts: Iterable[Part], path: str, adapted: Adapted, changes: list[Change]) -> tuple[Part, ...]:
    return tuple(_part(part, adapted.path(path, place), adapted, changes) for place, part in enumerate(parts))


def _part(part: Part, path: str, adapted: Adapted, changes: list[Change]) -> Part:
    if part.cache_hint is not None and is_long(part.cache_hint):
        changes.append(Change(f"{path}.cache_hint.ttl", "this model keeps it for five minutes"))
        part = replace(part, cache_hint=CacheHint())
    if isinstance(part, ToolResultPart):
        before = len(changes)
        content = _parts(part.content, f"{path}.tool_result.content", adapted, changes)
        return part if len(changes) == before else replace(part, content=content)
    return part
