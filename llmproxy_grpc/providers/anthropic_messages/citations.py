"""Sources: those of documents, of search results and of the web.

The API's own offsets count in the document that is cited; what cites it is the text as a whole, which is a block for
this very reason.
"""

from collections.abc import Iterable
from typing import Any

from llmproxy_grpc.messages import Citation
from llmproxy_grpc.providers.jsonio import joined


def read_citations(raw: Iterable[dict[str, Any]], length: int) -> tuple[Citation, ...]:
    """The sources of a text of so many code points."""
    return tuple(_citation(each, length) for each in raw)


def listed(raw: Any) -> list[dict[str, Any]]:
    """The citations in a field; what is none is ignored."""
    return [each for each in raw if isinstance(each, dict)] if isinstance(raw, list) else []


def _citation(raw: dict[str, Any], length: int) -> Citation:
    return Citation(
        uri=_text(raw, "url") or _text(raw, "source"),
        title=_text(raw, "title") or _text(raw, "document_title"),
        end_offset=length,
        quoted_text=_text(raw, "cited_text"),
    )


def _text(raw: dict[str, Any], name: str) -> str:
    value = raw.get(name)
    return joined(value) if isinstance(value, str) else ""
