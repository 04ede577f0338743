"""What an answer says as a whole: why it ended, what it used, and its sources."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from llmproxy_grpc.errors import UpstreamServerError, UpstreamStreamBroken
from llmproxy_grpc.messages import Citation, FinishReason, TokenLogprob, Usage
from llmproxy_grpc.providers.cohere_chat.shapes import Logprobs
from llmproxy_grpc.providers.counts import LARGEST_COUNT, clipped, count, real
from llmproxy_grpc.providers.jsonio import joined

FINISH_REASONS: Mapping[str, FinishReason] = {
    "COMPLETE": FinishReason.STOP,
    "STOP_SEQUENCE": FinishReason.STOP_SEQUENCE,
    "MAX_TOKENS": FinishReason.MAX_TOKENS,
    "TOOL_CALL": FinishReason.TOOL_CALLS,
}
_FAILED: Final = frozenset({"ERROR", "ERROR_TOXIC", "TIMEOUT"})


def finish_reason(raw: str, *, output: bool) -> FinishReason:
    """Reads a finish reason; unknown ones are OTHER, and a message that ends without one has come to its end.

    Raises:
        UpstreamStreamBroken: It says that the answer failed, behind some output.
        UpstreamServerError: It says so before any.
    """
    if raw in _FAILED:
        if output:
            raise UpstreamStreamBroken("The provider failed in the middle of its answer.")
        raise UpstreamServerError("The provider failed before its answer began.")
    return FINISH_REASONS.get(raw, FinishReason.OTHER) if raw else FinishReason.STOP


def read_usage(raw: Any) -> Usage | None:
    """Reads the counts of tokens, else of what is billed; None if nothing of the prompt is counted."""
    if not isinstance(raw, dict):
        return None
    tokens = raw.get("tokens")
    if not isinstance(tokens, dict):
        tokens = raw.get("billed_units")
    if not isinstance(tokens, dict):
        return None
    input_tokens, output_tokens = count(tokens, "input_tokens"), count(tokens, "output_tokens")
    if not input_tokens:
        return None
    return Usage(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        total_tokens=min(input_tokens + output_tokens, LARGEST_COUNT),
        cached_input_tokens=min(count(raw, "cached_tokens"), input_tokens),
    )


def read_logprobs(pieces: Iterable[Logprobs]) -> tuple[TokenLogprob, ...]:
    """Reads log probabilities: the text of a piece stands at its first token, as nobody says how it is divided."""
    return tuple(
        TokenLogprob(joined(piece.text or "") if position == 0 else "", logprob)
        for piece in pieces
        for position, logprob in enumerate(_numbers(piece.logprobs))
    )


def without_hidden(pieces: Sequence[Logprobs], hidden: str) -> Sequence[Logprobs]:
    """The pieces behind those of a hidden text, if they begin with it."""
    begin = 0
    for number, piece in enumerate(pieces):
        text = piece.text or ""
        if begin == len(hidden):
            return pieces[number:]
        if not hidden.startswith(text, begin):
            return pieces
        begin += len(text)
    return pieces if begin < len(hidden) else ()


def _numbers(raw: Any) -> list[float]:
    values = raw if isinstance(raw, list) else []
    return [number for each in values if (number := real(each)) is not None]


def read_citations(raw: Any) -> tuple[Citation, ...]:
    """Reads citations, one or a list: a source each."""
    entries = raw if isinstance(raw, list) else [raw]
    return tuple(
        source for entry in entries if isinstance(entry, dict) for source in _sources(entry, entry.get("sources"))
    )


def _sources(entry: dict[str, Any], sources: Any) -> list[Citation]:
    start, end = clipped(entry.get("start")), clipped(entry.get("end"))
    found = [source for source in sources if isinstance(source, dict)] if isinstance(sources, list) else []
    return [_citation(source, start, end) for source in found]


def _citation(source: dict[str, Any], start: int, end: int) -> Citation:
    document = source.get("document")
    fields = document if isinstance(document, dict) else {}
    return Citation(
        uri=_text(fields, "url") or _text(source, "id"),
        title=_text(fields, "title"),
        start_offset=start,
        end_offset=end,
        quoted_text=_text(fields, "snippet"),
    )


def _text(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name)
    return joined(value) if isinstance(value, str) else ""
