"""Media that Converse refuses where they stand: of a format that nothing tells, and documents without a word beside."""

from collections.abc import Iterator
from functools import partial
from itertools import groupby

from msgspec.structs import replace

from llmproxy_grpc.messages import MediaKind, MediaPart, Message, Part, Role, TextPart, ToolResultPart
from llmproxy_grpc.providers.converse.formats import FORMATS, format_of
from llmproxy_grpc.providers.instructions import INSTRUCTIONS
from llmproxy_grpc.providers.leaving_out import PartNumbers, without_parts
from llmproxy_grpc.providers.provider import Adapted, Unsupported

_UNKNOWN = "neither its type nor its address tells a format that this provider takes"


def with_possible_media(adapted: Adapted) -> Adapted:
    """Leaves out what would be refused, and names it."""
    messages = adapted.request.messages
    if not any(isinstance(part, MediaPart | ToolResultPart) for message in messages for part in message.parts):
        return adapted
    odd = {
        (turn, place): part.kind.name.lower()
        for turn, message in enumerate(messages)
        for place, part in enumerate(message.parts)
        if isinstance(part, MediaPart) and not _has_format(part)
    }
    adapted = _with_known_results(without_parts(adapted, odd, _UNKNOWN))
    lonely = dict(_documents_without_text(adapted.request.messages))
    return without_parts(adapted, lonely, "this provider wants a text beside a document")


def _has_format(part: MediaPart) -> bool:
    return format_of(part) in FORMATS[part.kind].values()


def _with_known_results(adapted: Adapted) -> Adapted:
    found: list[Unsupported] = []
    messages = list(adapted.request.messages)
    for turn, message in enumerate(messages):
        if message.role is Role.TOOL:
            path = partial(adapted.path, f"messages[{turn}].parts")
            known = (_known(part, f"{path(at)}.tool_result", adapted, found) for at, part in enumerate(message.parts))
            messages[turn] = replace(message, parts=tuple(known))
    if not found:
        return adapted
    request = replace(adapted.request, messages=tuple(messages))
    return replace(adapted, request=request, unsupported=(*adapted.unsupported, *found))


def _known(part: Part, path: str, adapted: Adapted, found: list[Unsupported]) -> Part:
    if not isinstance(part, ToolResultPart):
        return part
    kept: list[Part] = []
    for place, each in enumerate(part.content):
        if isinstance(each, MediaPart) and not _has_format(each):
            found.append(Unsupported(f"{adapted.path(f'{path}.content', place)}.{each.kind.name.lower()}", _UNKNOWN))
        else:
            kept.append(each)
    return part if len(kept) == len(part.content) else replace(part, content=tuple(kept))


def _documents_without_text(messages: tuple[Message, ...]) -> Iterator[tuple[PartNumbers, str]]:
    """Documents of turns of the user in which nothing is said."""
    spoken = [(turn, message) for turn, message in enumerate(messages) if message.role not in INSTRUCTIONS]
    for of_the_model, group in groupby(spoken, lambda numbered: numbered[1].role is Role.ASSISTANT):
        if of_the_model:
            continue
        parts = [((turn, place), part) for turn, message in group for place, part in enumerate(message.parts)]
        if not any(isinstance(part, TextPart) and part.text.strip() for _, part in parts):
            for at, part in parts:
                if isinstance(part, MediaPart) and part.kind is MediaKind.DOCUMENT:
                    yield at, "document"
