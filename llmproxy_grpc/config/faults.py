"""Everything wrong with a configuration: each fault with its source, line, path and value, and the error they make."""

from collections.abc import Iterable

from msgspec import Struct


class ConfigFault(Struct, frozen=True):
    """One thing to mend.

    Attributes:
        source: The file, the environment variable or `--set` that said it.
        line: The line in the file, from 1; None where there are no lines.
        path: The key, such as `providers[0].kind`; empty for the whole source.
        value: What was found, secrets masked; None where there is no value to show.
        message: What is wrong and what to do.
    """

    source: str
    line: int | None
    path: str
    value: str | None
    message: str

    def __str__(self) -> str:
        place = self.source if self.line is None else f"{self.source}:{self.line}"
        found = "" if self.value is None else f" (found {self.value})"
        return ": ".join(word for word in (place, self.path, self.message) if word) + found


class ConfigError(ValueError):
    """A configuration that cannot be used; `faults` names everything that was found, in the order of the sources."""

    def __init__(self, faults: Iterable[ConfigFault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))
