"""Sources: those of grounding by search, and those that the model was found to recite.

Google counts offsets in bytes of UTF-8, the API in code points.
"""

from collections.abc import Iterator
from typing import Any

from llmproxy_grpc.messages import Citation
from llmproxy_grpc.providers.counts import clipped
from llmproxy_grpc.providers.jsonio import joined


def read_citations(text: str, grounding: Any, citing: Any) -> tuple[Citation, ...]:
    """The sources of an answer.

    Args:
        text: All that it says, without its thinking.
        grounding: Its `groundingMetadata`.
        citing: Its `citationMetadata`.
    """
    data = text.encode("utf-8", "replace")
    return (*_grounding(data, grounding), *_reciting(data, citing))


def _grounding(data: bytes, raw: Any) -> Iterator[Citation]:
    if not isinstance(raw, dict):
        return
    chunks = _list(raw.get("groundingChunks"))
    for support in _dicts(raw.get("groundingSupports")):
        segment = support.get("segment")
        segment = segment if isinstance(segment, dict) else {}
        for index in _list(support.get("groundingChunkIndices")):
            source = _source(chunks[index]) if isinstance(index, int) and 0 <= index < len(chunks) else {}
            yield Citation(
                uri=_text(source, "uri"),
                title=_text(source, "title"),
                start_offset=_offset(data, segment.get("startIndex")),
                end_offset=_offset(data, segment.get("endIndex")),
            )


def _reciting(data: bytes, raw: Any) -> Iterator[Citation]:
    if not isinstance(raw, dict):
        return
    for source in _dicts(raw.get("citations") or raw.get("citationSources")):
        yield Citation(
            uri=_text(source, "uri"),
            title=_text(source, "title"),
            start_offset=_offset(data, source.get("startIndex")),
            end_offset=_offset(data, source.get("endIndex")),
        )


def _source(chunk: Any) -> dict[str, Any]:
    kinds = chunk.values() if isinstance(chunk, dict) else ()
    return next((each for each in kinds if isinstance(each, dict)), {})


def _offset(data: bytes, index: Any) -> int:
    return len(data[: clipped(index)].decode("utf-8", "ignore"))


def _text(source: dict[str, Any], name: str) -> str:
    value = source.get(name)
    return joined(value) if isinstance(value, str) else ""


def _dicts(value: Any) -> Iterator[dict[str, Any]]:
    return (each for each in _list(value) if isinstance(each, dict))


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
