"""Hides what the detectors find, in a line of JSON or of CSV; everything else stays to the byte."""

import hmac
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import IntEnum
from hashlib import sha256
from typing import Final

from msgspec import Struct

from llmproxy_grpc.datasets.redaction.detectors import CLASSES, Detector, Finding, compiled
from llmproxy_grpc.datasets.redaction.nesting import Nesting, is_json, looks_like_json
from llmproxy_grpc.datasets.redaction.patterns import PATTERNS
from llmproxy_grpc.datasets.redaction.view import HIDDEN, View
from llmproxy_grpc.datasets.skipping import Skipped, SkipReason

_STRINGS: Final = re.compile(rb'"([^"\\]*+(?:\\.[^"\\]*+)*+)"')
_NUMBERS: Final = re.compile(rb"[\d.eE+-]+")
_CELLS: Final = re.compile(rb'"(?:[^"]|"")*+"|[^,"\n]++')
# Bytes of a file: nobody reads them, and a digit less would spoil them.
_FILE: Final = re.compile(rb"(?:data:[\w.+/-]+;base64,)?[A-Za-z0-9+/]{256,}={0,2}")
_NOTHING: Final[Mapping[str, int]] = {}


class RedactionMode(IntEnum):
    """How something is hidden, with the numbers of the API."""

    MASK = 1
    TOKEN = 2
    DROP_RECORD = 3


class Redacted(Struct, frozen=True):
    """A line that may leave, and how many values of each class were hidden in it."""

    line: bytes
    counts: Mapping[str, int] = _NOTHING


class Redactor:
    """Hides values of some classes.

    Args:
        mode: How.
        classes: Which; none means all.
        key: For TOKEN: the same value gets the same token under the same key; who knows it can try values.

    Raises:
        ValueError: A class is not known, or TOKEN has no key.
    """

    def __init__(self, mode: RedactionMode, classes: Iterable[str] = (), *, key: bytes = b"") -> None:
        wanted = frozenset(classes) or frozenset(CLASSES)
        if not wanted <= frozenset(CLASSES):
            raise ValueError("unknown class")
        if mode == RedactionMode.TOKEN and not key:
            raise ValueError("tokens need a key")
        self._mode = mode
        self._key = key
        self._detector = Detector(wanted)
        rough = [pattern.rough for kind, pattern in PATTERNS.items() if kind in wanted]
        self._rough = compiled("|".join([*rough, HIDDEN]))

    def redact(self, line: bytes) -> Redacted | Skipped:
        """Hides values in one line of JSON, which stays JSON; a number among them becomes a string.

        If something goes wrong there is no line: what was not looked through does not leave.
        """
        return self._guarded(line, self._json)

    def redact_csv(self, line: bytes) -> Redacted | Skipped:
        """Hides values in the cells of one line of CSV, which has as many of them afterwards."""
        return self._guarded(line, self._csv)

    def _guarded(self, line: bytes, redact: Callable[[bytes, Counter[str]], bytes]) -> Redacted | Skipped:
        counts: Counter[str] = Counter()
        try:
            redacted = redact(line, counts)
        except Exception:  # noqa: BLE001 - whatever it is, the line must not leave as it is
            return Skipped(SkipReason.REDACTION_FAILED)
        if not counts:
            return Redacted(line)
        if self._mode == RedactionMode.DROP_RECORD:
            return Skipped(SkipReason.REDACTED)
        return Redacted(redacted, counts)

    def _csv(self, line: bytes, counts: Counter[str]) -> bytes:
        if self._rough.search(line) is None:
            return line
        # Cell by cell: in the whole line a value could go on over commas and its end, into the next record.
        return _CELLS.sub(lambda cell: self._content(cell[0], counts, nested=False), line)

    def _json(self, line: bytes, counts: Counter[str]) -> bytes:
        # The rough look at the line as it stands, which is fast, tells which of its strings and numbers to read.
        places = [match.start() for match in self._rough.finditer(line)]
        if not places:
            return line
        pieces: list[bytes] = []
        done = 0
        for start, end, is_string in _tokens(line, places):
            token = line[start:end]
            hidden = self._content(token, counts, nested=True) if is_string else self._number(token, counts)
            if hidden is not token:
                pieces += (line[done:start], hidden)
                done = end
        pieces.append(line[done:])
        return b"".join(pieces)

    def _number(self, token: bytes, counts: Counter[str]) -> bytes:
        findings = self._detector.find(token)
        if not findings:
            return token
        counts[findings[0].kind] += 1
        return b'"' + self._mask(findings[0]) + b'"'

    def _content(self, content: bytes, counts: Counter[str], *, nested: bool) -> bytes:
        if _FILE.fullmatch(content):
            return content
        view = View(content)
        findings = self._detector.find(view.read)
        if not findings:
            return content
        nesting = Nesting(content) if nested and looks_like_json(content) else None
        pieces: list[bytes] = []
        done = 0
        for finding in findings:
            counts[finding.kind] += 1
            start, end = view.place(finding.start), view.place(finding.end)
            quote = nesting.quote_at(start) if nesting is not None and nesting.is_number(start, end) else b""
            pieces += (content[done:start], quote, self._mask(finding), quote)
            done = end
        pieces.append(content[done:])
        hidden = b"".join(pieces)
        if nesting is not None and is_json(content) and not is_json(hidden):
            raise ValueError("the JSON within would not be JSON any more")
        return hidden

    def _mask(self, finding: Finding) -> bytes:
        kind = finding.kind.encode()
        if self._mode != RedactionMode.TOKEN:
            return b"<%b>" % kind
        digest = hmac.new(self._key, kind + b":" + finding.value, sha256).hexdigest()
        return b"<%b_%b>" % (kind, digest[:4].encode())


def _tokens(line: bytes, places: list[int]) -> Iterator[tuple[int, int, bool]]:
    """The strings and numbers of a line in which one of the places is: start, end, whether it is a string."""
    number = 0
    done = 0
    for match in _STRINGS.finditer(line):
        start, end = match.span(1)
        if number < len(places) and places[number] < start:
            yield from _numbers(line, done, start)
            number = bisect_left(places, start, number)
        if number < len(places) and places[number] < end:
            yield start, end, True
            number = bisect_left(places, end, number)
        if number == len(places):
            return
        done = end
    yield from _numbers(line, done, len(line))


def _numbers(line: bytes, start: int, end: int) -> Iterator[tuple[int, int, bool]]:
    for match in _NUMBERS.finditer(line, start, end):
        if match[0].isdigit():
            yield *match.span(), False
