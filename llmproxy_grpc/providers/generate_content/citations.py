"""Sources: those of grounding by search, and those that the model was found to recite.

Google counts offsets in bytes of UTF-8 over all that a candidate says, the API in code points of one part.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from msgspec import Struct

from llmproxy_grpc.messages import Citation
from llmproxy_grpc.providers.counts import clipped
from llmproxy_grpc.providers.jsonio import joined


class Cited(Struct, frozen=True):
    """A source, and what it stands behind: bytes of the answer, and the words there if they are told."""

    uri: str
    title: str
    quoted_text: str
    start: int
    end: int
    words: bytes = b""


def sources_of(raw: Any) -> Iterator[Cited]:
    """Reads a candidate's `groundingMetadata` or `citationMetadata`; what cannot be read is left out."""
    if not isinstance(raw, dict):
        return
    chunks = _list(raw.get("groundingChunks"))
    for support in _dicts(raw.get("groundingSupports")):
        segment = support.get("segment")
        for index in _list(support.get("groundingChunkIndices")):
            if isinstance(index, int) and 0 <= index < len(chunks):
                yield _cited(_source(chunks[index]), segment if isinstance(segment, dict) else {})
    for source in _dicts(raw.get("citations") or raw.get("citationSources")):
        yield _cited(source, {name: source.get(name) for name in ("startIndex", "endIndex")})


def citations_of(said: Iterable[tuple[int, str]], cited: Sequence[Cited]) -> dict[int, list[Citation]]:
    """The sources by the part of the text that they stand behind.

    Args:
        said: All texts of the answer, without its thinking, with the numbers of their parts.
        cited: The sources.
    """
    texts: dict[int, str] = {}
    for part_index, text in said:
        texts[part_index] = texts.get(part_index, "") + text
    found: dict[int, list[Citation]] = {}
    for source in cited:
        place = _place({index: joined(text).encode() for index, text in texts.items()}, source)
        if place is not None:
            part_index, start, end = place
            citation = Citation(source.uri, source.title, start, end, source.quoted_text)
            found.setdefault(part_index, []).append(citation)
    return found


def _place(parts: dict[int, bytes], source: Cited) -> tuple[int, int, int] | None:
    """The part in which the cited words begin, and the code points from which to which they go."""
    data = b"".join(parts.values())
    start, end = source.start, source.end
    if source.words and data[start:end] != source.words:
        # Whatever the offsets count in, the words tell where they are.
        found = data.find(source.words)
        start, end = (found, found + len(source.words)) if found >= 0 else (0, 0)
    last = max(parts, default=-1)
    for part_index, text in parts.items():
        if start < len(text) or part_index == last:
            return part_index, _code_points(text, start), _code_points(text, end)
        start, end = start - len(text), end - len(text)
    return None


def _code_points(data: bytes, offset: int) -> int:
    return len(data[: max(offset, 0)].decode("utf-8", "ignore"))


def _cited(source: dict[str, Any], segment: dict[str, Any]) -> Cited:
    return Cited(
        uri=_text(source, "uri") or _text(source, "sourceUri"),
        title=_text(source, "title"),
        quoted_text=_text(source, "text"),
        start=clipped(segment.get("startIndex")),
        end=clipped(segment.get("endIndex")),
        words=_text(segment, "text").encode(),
    )


def _source(chunk: Any) -> dict[str, Any]:
    """What a chunk says, whatever kind of source it is: `web`, `retrievedContext`, `maps`, `image`."""
    kinds = chunk.values() if isinstance(chunk, dict) else ()
    return next((each for each in kinds if isinstance(each, dict)), {})


def _text(source: dict[str, Any], name: str) -> str:
    value = source.get(name)
    return joined(value) if isinstance(value, str) else ""


def _dicts(value: Any) -> Iterator[dict[str, Any]]:
    return (each for each in _list(value) if isinstance(each, dict))


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
