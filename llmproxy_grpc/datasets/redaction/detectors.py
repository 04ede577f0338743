"""Finds the values of each class in a text: by its pattern, then by what no pattern can tell."""

from collections.abc import Iterable, Iterator
from typing import Any, Final

import re2
from msgspec import Struct

from llmproxy_grpc.datasets.redaction.checks import CHECKS
from llmproxy_grpc.datasets.redaction.patterns import ENDLESS, PATTERNS

CLASSES: Final = tuple(PATTERNS)
"""The classes that are known."""


_NOTHING: Final = r"[^\x{0}-\x{10FFFF}]"
"""Matches no text."""


class Finding(Struct, frozen=True):
    """A value: where it is, what it is, and its spelling that is the same wherever it stands."""

    start: int
    end: int
    kind: str
    value: bytes


def compiled(pattern: str) -> Any:
    """A pattern of RE2 over UTF-8."""
    options = re2.Options()
    options.max_mem = 64 << 20
    return re2.compile(pattern.encode(), options)


class Detector:
    """Finds values of some classes.

    Classes whose values may be long are looked for one by one: together, a long candidate of one would be read again
    for each short one within it, and the time would grow with the square of the text.

    Args:
        classes: The classes.
    """

    def __init__(self, classes: Iterable[str]) -> None:
        wanted = frozenset(classes)
        self._endless = [(kind, compiled(PATTERNS[kind].exact)) for kind in CLASSES if kind in wanted & ENDLESS]
        self._short = [kind for kind in CLASSES if kind in wanted - ENDLESS]
        patterns = [PATTERNS[kind].exact for kind in self._short]
        # The first of them or any behind it, so that one look tells all that begins at a place.
        self._from = [compiled("|".join(patterns[number:]) or _NOTHING) for number in range(len(patterns) + 1)]

    def find(self, text: bytes) -> list[Finding]:
        """Finds the values in a text, in order, none within another."""
        found = list(self._find_short(text))
        for kind, pattern in self._endless:
            signs = PATTERNS[kind].signs
            if not signs or any(sign in text for sign in signs):
                found += _find_endless(kind, pattern, text)
        return _apart(found) if len(found) > 1 else found

    def _find_short(self, text: bytes) -> Iterator[Finding]:
        search, place = self._from[0].search, 0
        while (match := search(text, place)) is not None:
            finding = self._sound(text, match)
            if finding is None:
                place = match.start() + 1
            else:
                yield finding
                place = finding.end

    def _sound(self, text: bytes, match: Any) -> Finding | None:
        """The value that begins at a match: what does not stand the test as one class may be of another behind it."""
        place, number = match.start(), 0
        while match is not None:
            group = match.lastindex
            number += group
            finding = _checked(self._short[number - 1], text, match.span(group))
            if finding is not None:
                return finding
            match = self._from[number].match(text, place)
        return None


def _find_endless(kind: str, pattern: Any, text: bytes) -> Iterator[Finding]:
    for match in pattern.finditer(text):
        finding = _checked(kind, text, match.span(1))
        if finding is not None:
            yield finding


def _checked(kind: str, text: bytes, span: tuple[int, int]) -> Finding | None:
    checked = CHECKS[kind](text, *span)
    return None if checked is None else Finding(span[0], checked[0], kind, checked[1])


def _apart(found: list[Finding]) -> list[Finding]:
    found.sort(key=lambda finding: finding.start)
    apart = found[:1]
    for finding in found[1:]:
        if finding.start >= apart[-1].end:
            apart.append(finding)
        elif CLASSES.index(finding.kind) < CLASSES.index(apart[-1].kind):
            apart[-1] = finding
    return apart
