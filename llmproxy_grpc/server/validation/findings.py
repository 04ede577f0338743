"""The wrong fields of one request, as many as an error can carry."""

from llmproxy_grpc.errors import FieldViolation
from llmproxy_grpc.server.validation.bounds import (
    MAX_CITATIONS,
    MAX_SHOWN_KEY,
    MAX_STRUCT_VALUES,
    MAX_VIOLATION_BYTES,
    MAX_VIOLATIONS,
)

# Tags and lengths of the strings and the message around them.
_OVERHEAD = 8


class Findings:
    """Collects violations until the error would grow too large, and counts the rest.

    Args:
        prefix: Stands before every path, such as `chat.`.

    Attributes:
        values_left: How many values the Structs that are still to be checked may hold.
        citations_left: How many citations the parts that are still to be checked may have.
    """

    __slots__ = ("_bytes", "_more", "_prefix", "_violations", "citations_left", "values_left")

    def __init__(self, prefix: str = "") -> None:
        self._prefix = prefix
        self._violations: list[FieldViolation] = []
        self._bytes = 0
        self._more = 0
        self.values_left = MAX_STRUCT_VALUES
        self.citations_left = MAX_CITATIONS

    def add(self, field: str, description: str) -> None:
        """Notes a wrong field by its path, and what to do about it."""
        path = self._prefix + field
        size = len(path.encode()) + len(description.encode()) + _OVERHEAD
        if self._more or len(self._violations) >= MAX_VIOLATIONS or self._bytes + size > MAX_VIOLATION_BYTES:
            self._more += 1
            return
        self._violations.append(FieldViolation(path, description))
        self._bytes += size

    def violations(self) -> list[FieldViolation]:
        """Gives the violations, the last of them, without a path, saying how many more there are."""
        if not self._more:
            return self._violations
        return [*self._violations, FieldViolation("", f"and {self._more} more")]


def entry(field: str, key: str) -> str:
    """Gives the path of a map's entry, with a key that is too long or not printable made fit to be shown."""
    shown = key if len(key) <= MAX_SHOWN_KEY else key[:MAX_SHOWN_KEY] + "…"
    return f'{field}["{"".join(c if c.isprintable() else "?" for c in shown)}"]'
