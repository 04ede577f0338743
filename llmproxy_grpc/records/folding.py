"""Words looked for in texts, with or without case, in steps that are short however long a text is."""

from typing import Final

PIECE: Final = 262_144
"""Characters that one step takes: about a millisecond, in which nothing else of the process runs."""


def fold(text: str) -> str:
    """The text as it is compared without case: its `casefold`, which knows no neighbours of a character."""
    if len(text) <= PIECE:
        return text.casefold()
    return "".join([text[at : at + PIECE].casefold() for at in range(0, len(text), PIECE)])


def holds(text: str, sought: str) -> bool:
    """Whether one text is in the other."""
    if len(text) <= PIECE:
        return sought in text
    # What begins in a piece may end in the next one.
    reach = PIECE + len(sought) - 1
    return any(text.find(sought, at, at + reach) >= 0 for at in range(0, len(text), PIECE))
