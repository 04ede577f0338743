"""What a message says: its text, thinking and sources, in the shapes that servers give them."""

from collections.abc import Iterable, Iterator
from typing import Any

from llmproxy_grpc.messages import Citation
from llmproxy_grpc.providers.chat_completions.shapes import Content
from llmproxy_grpc.providers.counts import clipped
from llmproxy_grpc.providers.jsonio import joined


def thinking(content: Content[Any]) -> str:
    """The message's thinking, by either name of its field; servers that send both send the same twice."""
    for text in (content.reasoning_content, content.reasoning):
        if isinstance(text, str) and text:
            return text
    return ""


def pieces(content: Iterable[Any]) -> Iterator[tuple[bool, str, str]]:
    """Walks through content that came as a list: whether each piece is thinking, its text, and its signature.

    Thinking is a text or such a list again, to any depth; a signature is told before any of what it signs.
    """
    lists = [(iter(content), "")]
    while lists:
        is_thinking = len(lists) > 1
        for piece in lists[-1][0]:
            if isinstance(piece, str):
                yield is_thinking, piece, lists[-1][1]
            elif isinstance(piece, dict):
                if isinstance(text := piece.get("text"), str):
                    yield is_thinking, text, lists[-1][1]
                inner, signature = piece.get("thinking"), _signature(piece)
                if signature:
                    yield True, "", signature
                if isinstance(inner, str):
                    yield True, inner, signature
                elif isinstance(inner, list):
                    lists.append((iter(inner), signature))
                    break
        else:
            lists.pop()


def _signature(piece: dict[str, Any]) -> str:
    signature = piece.get("signature") if piece.get("type") == "thinking" else None
    return joined(signature) if isinstance(signature, str) else ""


def references(content: Iterable[Any]) -> tuple[Citation, ...]:
    """The sources that content in a list refers to, by the ids that the caller's own tools gave them: Mistral's."""
    lists = (piece.get("reference_ids") for piece in content if isinstance(piece, dict))
    ids = (each for listed in lists if isinstance(listed, list) for each in listed)
    return tuple(Citation(uri=joined(str(each))) for each in ids if isinstance(each, str | int))


def citations(annotations: Any) -> tuple[Citation, ...]:
    """The sources among a message's annotations; other annotations are ignored."""
    if not isinstance(annotations, list):
        return ()
    sources = (item.get("url_citation") for item in annotations if isinstance(item, dict))
    return tuple(_citation(source) for source in sources if isinstance(source, dict))


def _citation(source: dict[str, Any]) -> Citation:
    return Citation(
        uri=_text(source.get("url")),
        title=_text(source.get("title")),
        start_offset=clipped(source.get("start_index")),
        end_offset=clipped(source.get("end_index")),
        quoted_text=_text(source.get("content")),
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
