"""The sources that a text names."""

from typing import Any

from llmproxy_grpc.messages import Citation
from llmproxy_grpc.providers.counts import clipped
from llmproxy_grpc.providers.jsonio import joined


def read_annotations(raw: Any) -> tuple[Citation, ...]:
    """The sources among a text's annotations."""
    return tuple(source for each in raw for source in read_annotation(each)) if isinstance(raw, list) else ()


def read_annotation(raw: Any) -> tuple[Citation, ...]:
    """The source that an annotation names; none for other annotations.

    A page stands for a piece of the text, a file at one place in it.
    """
    if not isinstance(raw, dict):
        return ()
    kind = _text(raw, "type")
    if kind in {"url_citation", "container_file_citation"}:
        return (_citation(raw, clipped(raw.get("start_index")), clipped(raw.get("end_index"))),)
    if kind == "file_citation":
        place = clipped(raw.get("index"))
        return (_citation(raw, place, place),)
    return ()


def _citation(raw: dict[str, Any], start: int, end: int) -> Citation:
    return Citation(
        uri=_text(raw, "url") or _text(raw, "file_id"),
        title=_text(raw, "title") or _text(raw, "filename"),
        start_offset=start,
        end_offset=end,
    )


def _text(raw: dict[str, Any], name: str) -> str:
    value = raw.get(name)
    return joined(value) if isinstance(value, str) else ""
