"""Names of functions as providers take them: so long at most, and of characters that they know."""

import re
from functools import cache
from typing import Final

from msgspec import Struct


class NameForm(Struct, frozen=True):
    """What names a provider takes: of letters, digits, `_`, `-` and some others.

    Attributes:
        longest: How many characters a name may have; 0 for any number, of any kind.
        others: The characters that are taken besides.
        first_is_letter: Whether a name begins with a letter or `_`.
    """

    longest: int = 0
    others: str = ""
    first_is_letter: bool = False

    def takes(self, name: str) -> bool:
        """Whether the provider takes a name."""
        return not self.longest or _pattern(self).fullmatch(name) is not None

    def like(self, name: str) -> str:
        """The name that it takes and that is most like one that it refuses; several may have the same."""
        known = re.sub(f"[^{_characters(self)}]", "_", name)
        if self.first_is_letter and not re.match("[A-Za-z_]", known):
            known = f"_{known}"
        return known[: self.longest]


ANY_NAME: Final = NameForm()
PLAIN_NAME: Final = NameForm(64)
"""OpenAI's, and that of many others."""


@cache
def _pattern(form: NameForm) -> re.Pattern[str]:
    first = "(?=[A-Za-z_])" if form.first_is_letter else ""
    return re.compile(f"{first}[{_characters(form)}]{{1,{form.longest}}}")


def _characters(form: NameForm) -> str:
    return f"A-Za-z0-9_{re.escape(form.others)}-"
