"""Conversations of which nothing is left to answer: refused, whatever the caller lets be dropped."""

from collections.abc import Callable, Iterator
from typing import Final

from msgspec.structs import replace

from llmproxy_grpc.messages import RefusalPart, TextPart
from llmproxy_grpc.providers.features import Blank
from llmproxy_grpc.providers.provider import Adapted, Unsupported
from llmproxy_grpc.providers.saying import has_words

_BESIDE: Final = ("cache_hint", "detail", "name")
"""What is said of messages and their parts, whose loss empties none."""


def with_something_to_answer(adapted: Adapted, blank: Callable[[], Blank]) -> Adapted:
    """Says of what was left out that it is essential, if nothing else was said.

    Args:
        adapted: The request, as its provider would get it.
        blank: Tells which conversations without a word the provider takes, if they are the caller's own.
    """
    if any(map(has_words, adapted.request.messages)):  # nearly always
        return adapted
    named = tuple(replace(each, essential=each.essential or _empties(each)) for each in adapted.unsupported)
    if any(each.essential for each in named):
        return replace(adapted, unsupported=named)
    taken, texts = blank(), dict(_texts(adapted))
    if taken is Blank.EMPTY or (taken is Blank.SPACES and any(texts.values())):
        return adapted
    found = Unsupported(next(reversed(texts), "messages"), "this provider wants a word to answer", essential=True)
    return replace(adapted, unsupported=(*adapted.unsupported, found))


def _empties(unsupported: Unsupported) -> bool:
    return unsupported.field.startswith("messages[") and not unsupported.field.endswith(_BESIDE)


def _texts(adapted: Adapted) -> Iterator[tuple[str, str]]:
    """The caller's paths of the texts of a conversation without a word, and these."""
    for turn, message in enumerate(adapted.request.messages):
        for place, part in enumerate(message.parts):
            if isinstance(part, TextPart | RefusalPart):
                field = "text" if isinstance(part, TextPart) else "refusal"
                yield f"{adapted.path(f'messages[{turn}].parts', place)}.{field}", part.text
