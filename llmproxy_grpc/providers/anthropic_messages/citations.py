"""Sources: those of documents, of search results and of the web.

Their offsets count in the document that is cited, not in the text that cites it, so the API's have no value here.
"""

from typing import Any

from llmproxy_grpc.messages import Citation
from llmproxy_grpc.providers.jsonio import joined


def read_citations(raw: Any) -> tuple[Citation, ...]:
    """The sources of a text; what is none is ignored."""
    if not isinstance(raw, list):
        return ()
    return tuple(read_citation(each) for each in raw if isinstance(each, dict))


def read_citation(raw: dict[str, Any]) -> Citation:
    """One source."""
    return Citation(
        uri=_text(raw, "url") or _text(raw, "source"),
        title=_text(raw, "title") or _text(raw, "document_title"),
        quoted_text=_text(raw, "cited_text"),
    )


def _text(raw: dict[str, Any], name: str) -> str:
    value = raw.get(name)
    return joined(value) if isinstance(value, str) else ""
