"""What of a prompt to cache, as marks on its parts, and which parts can be marked."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

from msgspec.structs import replace

from llmproxy_grpc.messages import CacheHint, MediaPart, Message, OpaquePart, Part, Role, TextPart, ToolResultPart
from llmproxy_grpc.providers.chat_completions.quirks import CacheStyle
from llmproxy_grpc.providers.provider import Adapted, Unsupported

Kinds = tuple[type[Part], ...]

MARKED: Final[Kinds] = (TextPart, MediaPart, OpaquePart)
_SHORT_CONTROL = 300.0
_SHORT_BREAKPOINT = 1800.0


def cache_mark(hint: CacheHint, style: CacheStyle) -> dict[str, Any]:
    """The field that marks the part up to which to cache; of two lifetimes, the shorter one that is long enough."""
    if style is CacheStyle.BREAKPOINT:
        mark = {"mode": "explicit"}
        if hint.ttl is not None:
            mark["ttl"] = "12h" if hint.ttl > _SHORT_BREAKPOINT else "30m"
        return {"prompt_cache_breakpoint": mark}
    control = {"type": "ephemeral"}
    if hint.ttl is not None:
        control["ttl"] = "1h" if hint.ttl > _SHORT_CONTROL else "5m"
    return {"cache_control": control}


def with_possible_marks(adapted: Adapted, *, prompts: Kinds, answers: Kinds) -> Adapted:
    """Leaves out the hints on parts that cannot be marked, and names them; a result is marked at its end.

    Args:
        adapted: The request.
        prompts: Which parts can be marked in prompts and in results of tools.
        answers: Which ones in the model's own messages.
    """
    said = adapted.request.messages
    if not any(part.cache_hint is not None for message in said for part in message.parts):
        return adapted
    found: list[Unsupported] = []
    messages: list[Message] = []
    for turn, message in enumerate(said):
        kinds = answers if message.role is Role.ASSISTANT else prompts
        path = partial(adapted.path, f"messages[{turn}].parts")
        parts = _marked(message.parts, kinds, path, found)
        messages.append(replace(message, parts=tuple(parts)))
    request = replace(adapted.request, messages=tuple(messages))
    return replace(adapted, request=request, unsupported=(*adapted.unsupported, *found))


def _marked(
    parts: tuple[Part, ...], kinds: Kinds, path: Callable[[int], str], found: list[Unsupported]
) -> Iterator[Part]:
    for place, part in enumerate(parts):
        if part.cache_hint is None or isinstance(part, kinds):
            yield part
        elif isinstance(part, ToolResultPart) and part.content and isinstance(part.content[-1], kinds):
            yield _marked_at_its_end(part)
        else:
            found.append(Unsupported(f"{path(place)}.cache_hint", "this provider marks no such part"))
            yield replace(part, cache_hint=None)


def _marked_at_its_end(result: ToolResultPart) -> ToolResultPart:
    *before, last = result.content
    last = replace(last, cache_hint=last.cache_hint or result.cache_hint)
    return replace(result, content=(*before, last), cache_hint=None)
