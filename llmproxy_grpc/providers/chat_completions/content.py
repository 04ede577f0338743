"""What a message says: its text, thinking and sources, in the shapes that servers give them."""

from collections.abc import Iterable, Iterator
from typing import Any

from llmproxy_grpc.messages import Citation
from llmproxy_grpc.providers.chat_completions.shapes import Content


def thinking(content: Content[Any]) -> str:
    """The message's thinking, by either name of its field; servers that send both send the same twice."""
    for text in (content.reasoning_content, content.reasoning):
        if isinstance(text, str) and text:
            return text
    return ""


def pieces(content: Iterable[Any]) -> Iterator[tuple[bool, str]]:
    """Walks through content that came as a list: whether each piece is thinking, and its text."""
    for piece in content:
        if isinstance(piece, str):
            yield False, piece
        elif isinstance(piece, dict):
            if isinstance(text := piece.get("text"), str):
                yield False, text
            yield from ((True, text) for text in _thoughts(piece.get("thinking")))


def citations(annotations: Any) -> tuple[Citation, ...]:
    """The sources among a message's annotations; other annotations are ignored."""
    if not isinstance(annotations, list):
        return ()
    sources = (item.get("url_citation") for item in annotations if isinstance(item, dict))
    return tuple(_citation(source) for source in sources if isinstance(source, dict))


def _thoughts(thinking_piece: Any) -> Iterator[str]:
    if isinstance(thinking_piece, str):
        yield thinking_piece
    elif isinstance(thinking_piece, list):
        yield from (text for _, text in pieces(thinking_piece))


def _citation(source: dict[str, Any]) -> Citation:
    return Citation(
        uri=_text(source.get("url")),
        title=_text(source.get("title")),
        start_offset=_offset(source.get("start_index")),
        end_offset=_offset(source.get("end_index")),
        quoted_text=_text(source.get("content")),
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _offset(value: Any) -> int:
    return min(max(value, 0), 2**31 - 1) if isinstance(value, int) else 0
