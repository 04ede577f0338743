"""Media that Converse refuses where they stand: of a format that nothing tells, and documents without a word beside."""

from collections.abc import Iterable, Iterator
from itertools import groupby

from llmproxy_grpc.messages import MediaKind, MediaPart, Message, Part, Role, TextPart, ToolResultPart
from llmproxy_grpc.providers.converse.formats import FORMATS, format_of
from llmproxy_grpc.providers.instructions import INSTRUCTIONS
from llmproxy_grpc.providers.leaving_out import PartNumbers, without_parts, without_parts_of_results
from llmproxy_grpc.providers.provider import Adapted
from llmproxy_grpc.providers.saying import has_words

_UNKNOWN = "neither its type nor its address tells a format that this provider takes"


def with_possible_media(adapted: Adapted) -> Adapted:
    """Leaves out what would be refused, and names it."""
    messages = adapted.request.messages
    if not any(_has_media(message.parts) for message in messages):  # nearly always
        return adapted
    odd = {
        (turn, place): field
        for turn, message in enumerate(messages)
        for place, field in _of_no_format(message.parts).items()
    }
    adapted = without_parts_of_results(without_parts(adapted, odd, _UNKNOWN), _of_no_format, _UNKNOWN)
    lonely = dict(_documents_without_text(adapted.request.messages))
    return without_parts(adapted, lonely, "this provider wants a text beside a document")


def _has_media(parts: Iterable[Part]) -> bool:
    for part in parts:
        if isinstance(part, MediaPart) or (isinstance(part, ToolResultPart) and _has_media(part.content)):
            return True
    return False


def _of_no_format(parts: Iterable[Part]) -> dict[int, str]:
    """The media among parts whose format nothing tells, by their numbers, with the names of their fields."""
    return {
        number: part.kind.name.lower()
        for number, part in enumerate(parts)
        if isinstance(part, MediaPart) and format_of(part) not in FORMATS[part.kind].values()
    }


def _documents_without_text(messages: tuple[Message, ...]) -> Iterator[tuple[PartNumbers, str]]:
    """Documents of turns of the user in which nothing is said."""
    spoken = [(turn, each) for turn, each in enumerate(messages) if each.role not in INSTRUCTIONS and has_words(each)]
    for of_the_model, group in groupby(spoken, lambda numbered: numbered[1].role is Role.ASSISTANT):
        if of_the_model:
            continue
        parts = [((turn, place), part) for turn, message in group for place, part in enumerate(message.parts)]
        if not any(isinstance(part, TextPart) and part.text.strip() for _, part in parts):
            for at, part in parts:
                if isinstance(part, MediaPart) and part.kind is MediaKind.DOCUMENT:
                    yield at, "document"
