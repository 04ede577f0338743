"""How much one answer may hold: a few bytes of a provider must not become a thousand times as many of ours."""

from collections.abc import Sequence
from typing import Final

from llmproxy_grpc.errors import UpstreamProtocolError
from llmproxy_grpc.messages import Citation, ProviderResponse, TokenLogprob, ToolCallPart

MOST_CANDIDATES: Final = 128
"""As many as may be asked for."""
MOST_PARTS: Final = 16_384
MOST_TOOL_CALLS: Final = 1_024
MOST_CITATIONS: Final = 16_384
MOST_LOGPROBS: Final = 262_144
"""Alternatives included: 12,000 tokens with 20 of them each, or the 131,072 tokens of the longest answers with one."""
MOST_HELD: Final = 16 * 1024 * 1024
"""Characters that a stream keeps of its calls and of what it tells at its end: as many as an event may have bytes."""

LONG: Final = 256 * 1024
"""Bytes from which on a document is read aside: that takes a millisecond at least, and seconds for the worst."""
MOST_CONTAINERS: Final = 524_288
"""Objects and lists of a document, by its brackets: as many as all log probabilities have, at up to 100 bytes each."""
MOST_COMMAS: Final = 4_194_304
"""As many as an answer of 64 MiB has numbers of 16 bytes, which is how most servers write those of vectors."""

SHORT: Final = 16 * 1024
"""Bytes up to which a document is read at once, whatever is in it."""
MANY_CONTAINERS: Final = 2_048
"""Objects and lists from which on a document shorter than `LONG` is read aside as well: each takes some 5 µs."""


class Extent:
    """What one stream has held so far, in all of its candidates.

    Each method raises UpstreamProtocolError if it becomes too much, unless it says otherwise.
    """

    __slots__ = ("_candidates", "_citations", "_held", "_kept", "_logprobs", "_parts", "_tool_calls")

    def __init__(self) -> None:
        self._held = self._kept = 0
        self._candidates = self._parts = self._tool_calls = self._citations = self._logprobs = 0

    def candidate(self) -> None:
        """One more candidate."""
        self._candidates += 1
        _check(self._candidates, MOST_CANDIDATES, "candidates")

    def part(self) -> None:
        """One more part."""
        self._parts += 1
        _check(self._parts, MOST_PARTS, "parts")

    def tool_call(self) -> None:
        """One more tool call, which is a part besides."""
        self._tool_calls += 1
        check_calls(self._tool_calls)

    def hold(self, characters: int) -> None:
        """More that waits to be told: arguments for the name of their call, hidden thinking for its end."""
        self._held += characters
        if self._held > MOST_HELD:
            raise UpstreamProtocolError("The provider sent too much of what it has to end or to name first.")

    def may_keep(self, characters: int) -> bool:
        """Says whether more arguments may be kept to see whether they are whole: nobody needs that to go on."""
        self._kept += characters
        return self._kept <= MOST_HELD

    def annotate(self, logprobs: Sequence[TokenLogprob], citations: Sequence[Citation]) -> None:
        """More log probabilities and sources."""
        if citations:
            self._citations += len(citations)
            _check(self._citations, MOST_CITATIONS, "citations")
        if logprobs:
            self._logprobs += _count(logprobs)
            _check(self._logprobs, MOST_LOGPROBS, "log probabilities")


def check_answer(answer: ProviderResponse) -> None:
    """Raises UpstreamProtocolError if a whole answer holds too much."""
    candidates = answer.candidates
    _check(len(candidates), MOST_CANDIDATES, "candidates")
    parts = [part for candidate in candidates for part in candidate.message.parts]
    _check(len(parts), MOST_PARTS, "parts")
    check_calls(sum([isinstance(part, ToolCallPart) for part in parts]))
    _check(sum([len(part.citations) for part in parts]), MOST_CITATIONS, "citations")
    _check(sum([_count(candidate.logprobs) for candidate in candidates]), MOST_LOGPROBS, "log probabilities")


def check_calls(count: int) -> None:
    """Raises UpstreamProtocolError if there are too many tool calls."""
    _check(count, MOST_TOOL_CALLS, "tool calls")


def is_long(document: bytes) -> bool:
    """Whether JSON takes so long to read that it is read aside."""
    size = len(document)
    return size > LONG or (size > SHORT and containers_in(document) > MANY_CONTAINERS)


def containers_in(document: bytes) -> int:
    """Objects and lists of JSON, or of a piece of it; those that only its texts mention count as well."""
    return document.count(b"{") + document.count(b"[")


def check_containers(count: int) -> None:
    """Raises UpstreamProtocolError if JSON has too many objects and lists."""
    _check(count, MOST_CONTAINERS, "objects and lists")


def check_document(document: bytes) -> None:
    """Raises UpstreamProtocolError if JSON would take much more memory than it has bytes; it need not be valid."""
    check_containers(containers_in(document))
    _check(document.count(b","), MOST_COMMAS, "values")


def _count(logprobs: Sequence[TokenLogprob]) -> int:
    return len(logprobs) + sum([len(each.top) for each in logprobs])


def _check(count: int, most: int, what: str) -> None:
    if count > most:
        raise UpstreamProtocolError(f"The provider's answer has more than {most:,} {what}.")
