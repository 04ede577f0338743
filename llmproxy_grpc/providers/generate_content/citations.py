"""Sources: those of grounding by search, and those that the model was found to recite.

Google counts offsets in bytes of UTF-8 over all that a candidate says, the API in code points of one part.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate
from typing import Any, Final

from msgspec import Struct

from llmproxy_grpc.messages import Citation
from llmproxy_grpc.providers.counts import clipped
from llmproxy_grpc.providers.jsonio import joined

_BLOCK: Final = 1024
_MOST_SEARCHED: Final = 256 * 1024 * 1024
"""Bytes: a fifth of a second, in which no other call runs."""


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


def citations_of(said: Iterable[tuple[int, str]], cited: Iterable[Cited]) -> dict[int, list[Citation]]:
    """The sources by the part of the text that they stand behind.

    Args:
        said: All texts of the answer, without its thinking, with the numbers of their parts.
        cited: The sources.
    """
    pieces: dict[int, list[str]] = {}
    for part_index, text in said:
        pieces.setdefault(part_index, []).append(text)
    answer = _Answer({part_index: joined("".join(texts)) for part_index, texts in pieces.items()})
    found: dict[int, list[Citation]] = {}
    for source in cited if pieces else ():
        part_index, start, end = answer.place(source)
        citation = Citation(source.uri, source.title, start, end, source.quoted_text)
        found.setdefault(part_index, []).append(citation)
    return found


class _Answer:
    """All texts of an answer as Google counts them: it may be megabytes, and have thousands of sources."""

    def __init__(self, texts: Mapping[int, str]) -> None:
        self._indices = tuple(texts)
        self._parts = [_Bytes(text) for text in texts.values()]
        self._ends = list(accumulate(len(part.data) for part in self._parts))
        self._data = b"".join(part.data for part in self._parts)
        self._last_found = 0
        self._left_to_search = _MOST_SEARCHED

    def place(self, source: Cited) -> tuple[int, int, int]:
        """The part in which the cited words begin, and the code points from which to which they go."""
        start, end = source.start, source.end
        if source.words and self._data[start:end] != source.words:
            # Whatever the offsets count in, the words tell where they are.
            found = self._find(source.words)
            start, end = (found, found + len(source.words)) if found >= 0 else (0, 0)
        number = min(bisect_right(self._ends, start), len(self._parts) - 1)
        part, before = self._parts[number], self._ends[number - 1] if number else 0
        return self._indices[number], part.code_points(start - before), part.code_points(end - before)

    def _find(self, words: bytes) -> int:
        """Where words stand, from those found last on, else before; -1 if nowhere, or if too much was searched."""
        for begin, end in ((self._last_found, len(self._data)), (0, self._last_found + len(words))):
            if self._left_to_search <= 0:
                break
            found = self._data.find(words, begin, end)
            self._left_to_search -= (end if found < 0 else found) - begin
            if found >= 0:
                self._last_found = found
                return found
        return -1


class _Bytes:
    """A text in UTF-8, with a mark at each thousandth character or so, from which offsets are counted on."""

    def __init__(self, text: str) -> None:
        blocks = [text[start : start + _BLOCK].encode() for start in range(0, len(text), _BLOCK)]
        self.data = b"".join(blocks)
        self._marks = [0, *accumulate(map(len, blocks[:-1]))]

    def code_points(self, offset: int) -> int:
        """How many whole characters stand before an offset."""
        block = bisect_right(self._marks, max(offset, 0)) - 1
        begin = self._marks[block]
        more = self.data[begin : max(offset, 0)][: 4 * _BLOCK].decode("utf-8", "ignore")
        return block * _BLOCK + len(more)


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
