r"""What each class looks like: patterns of RE2, whose time grows with the text alone, whatever the text is.

The part to hide is the group. An edge keeps a number from beginning or ending within a longer one, or within a word;
`_` is none, for names are put before values by it.
"""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct


class Pattern(Struct, frozen=True):
    """How a class is found.

    Attributes:
        exact: Matches its values.
        rough: Matches something in each of its values, with no regard to what stands before and behind: for a first
            look at text with escapes in it.
        signs: Each of its values has one of these; empty if there is no such thing.
    """

    exact: str
    rough: str
    signs: tuple[bytes, ...] = ()


_EDGE: Final = r"(?:\b|_)"
# With their marks: of many scripts a vowel is one, and so is an accent that was typed by itself.
_WORD: Final = r"[\p{L}\p{N}\p{M}]"
_LOCAL: Final = r"[._%+-]"
_KEY: Final = r"[A-Za-z0-9_-]"
_USER: Final = r"""[^\s/?#"'<>\\:@]"""
_BEHIND_IT: Final = r"""[^\s/?#"'<>\\]"""

# The beginning of a key, the letters that follow, and how many of them there are at least.
_API_KEYS: Final = (
    ("sk-", _KEY, 20),  # OpenAI, Anthropic, OpenRouter, DeepSeek
    ("(?:AKIA|ASIA)", "[0-9A-Z]", 16),
    ("AIza", _KEY, 35),
    ("gh[pousr]_", "[A-Za-z0-9]", 36),
    ("github_pat_", "[A-Za-z0-9_]", 22),
    ("glpat-", _KEY, 20),
    ("xox[abeprs]-", "[A-Za-z0-9-]", 10),
    ("hf_", "[A-Za-z0-9]", 30),
    ("[sr]k_(?:live|test)_", "[A-Za-z0-9]", 16),
    ("npm_", "[A-Za-z0-9]", 36),
    ("pypi-", _KEY, 50),
    ("gsk_", "[A-Za-z0-9]", 40),
    ("xai-", "[A-Za-z0-9]", 40),
    ("r8_", "[A-Za-z0-9]", 37),
    (r"SG\.", r"[A-Za-z0-9_.-]", 32),
    (r"ya29\.", _KEY, 20),
    ("[Bb]earer ", r"[A-Za-z0-9._~+/=-]", 20),
    ("[Aa]uthorization: ?[Bb]asic ", "[A-Za-z0-9+/=]", 6),
    (r"hooks\.slack\.com/services/", "[A-Za-z0-9/]", 20),
)
_PRIVATE_KEY: Final = "-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----"
# A backslash within is of the end of a line or a slash in JSON; one before a quote belongs to that.
_KEY_LINES: Final = r"(?:[A-Za-z0-9+/=\s:,.-]|\\+[\snrt/])*"

_IBAN: Final = r"[A-Za-z]{2}\d{2}(?:[ -]?[A-Za-z0-9]){11,30}"
_CNPJ: Final = r"[0-9A-Z]{2}\.?[0-9A-Z]{3}\.?[0-9A-Z]{3}/?[0-9A-Z]{4}-?\d{2}"
_CPF: Final = r"\d{3}[ .]?\d{3}[ .]?\d{3}[ -]?\d{2}"


def _card(gap: str) -> str:
    return rf"[2-6]\d{{3}}{gap}(?:\d{{4}}{gap}\d{{4}}{gap}\d{{4}}(?:{gap}\d{{1,3}})?|\d{{6}}{gap}\d{{4,5}})"


# Columns of a table are two spaces or a tab apart, which in JSON is an escape.
_CARD: Final = _card(r"(?:[.-]|[ \t]{1,2})?")
_ROUGH_CARD: Final = _card(r"(?:[.-]|[ \t]{1,2}|\\+t)?")
_US_SSN: Final = r"\d{3}[ -]\d{2}[ -]\d{4}"
_IPV4: Final = r"(?:\d{1,3}\.){3}\d{1,3}"
_IPV6: Final = r"[0-9A-Fa-f]{3,4}(?::[0-9A-Fa-f]{0,4}){2,7}"

# With the country; North America; Brazil; France; Britain.
_PHONES: Final = (
    r"\+[1-9]\d{0,2}[ .-]?(?:\(\d{1,4}\)[ .-]?)?\d{1,4}(?:[ .-]?\d{1,4}){1,6}",
    r"\([2-9]\d{2}\) ?[2-9]\d{2}[ .-]?\d{4}",
    r"\b[2-9]\d{2}[.-][2-9]\d{2}[.-]\d{4}",
    r"\([1-9]\d\) ?9?\d{4}[ .-]?\d{4}",
    r"\b[1-9]\d 9\d{4}-\d{4}",
    r"\b0[1-9](?:[ .]\d{2}){4}",
    r"\b0\d{2,4} \d{3,4} \d{3,4}",
)
# As they may stand in text of any script, before it is made the same.
_ROUGH_WORD: Final = r"[\p{L}\p{N}\p{M}\p{Cf}]"
_ROUGH_AT: Final = r"@|%40|\x{FF20}|\x{FE6B}"
_ROUGH_POINT: Final = r"[.\x{2024}\x{3002}\x{FE52}\x{FF0E}\x{FF61}]"

_PHONE: Final = f"(?:{'|'.join(_PHONES)})"

PATTERNS: Final[Mapping[str, Pattern]] = {
    "JWT": Pattern(rf"(eyJ{_KEY}{{8,}}(?:\.{_KEY}*){{2,4}})", rf"eyJ{_KEY}{{8}}", (b"eyJ",)),
    "URL_CREDENTIALS": Pattern(rf"://({_USER}*:{_BEHIND_IT}+)@", rf"://{_USER}*:{_BEHIND_IT}+@", (b"://",)),
    "API_KEY": Pattern(
        rf"(?:^|\W|{_EDGE})((?:{'|'.join(f'{start}{letter}{{{count},}}' for start, letter, count in _API_KEYS)})"
        rf"|{_PRIVATE_KEY}{_KEY_LINES})",
        rf"(?:{'|'.join(f'{start}{letter}{{{count}}}' for start, letter, count in _API_KEYS)})|{_PRIVATE_KEY}",
    ),
    "EMAIL": Pattern(
        rf"((?:{_WORD}|{_LOCAL})*(?:{_WORD}|[_+-])(?:@|%40)"
        rf"(?:{_WORD}(?:{_WORD}|-)*\.)+(?:xn--[A-Za-z0-9-]+|\p{{L}}[\p{{L}}\p{{M}}]+))",
        rf"(?:{_ROUGH_WORD}|[_+-])(?:{_ROUGH_AT}){_ROUGH_WORD}(?:{_ROUGH_WORD}|-)*{_ROUGH_POINT}{_ROUGH_WORD}",
        (b"@", b"%40"),
    ),
    "IBAN": Pattern(rf"{_EDGE}({_IBAN})", _IBAN),
    "CNPJ": Pattern(rf"{_EDGE}({_CNPJ}){_EDGE}", _CNPJ),
    "CPF": Pattern(rf"{_EDGE}({_CPF}){_EDGE}", _CPF),
    "CARD": Pattern(rf"{_EDGE}({_CARD}){_EDGE}", _ROUGH_CARD),
    "US_SSN": Pattern(rf"{_EDGE}({_US_SSN}){_EDGE}", _US_SSN),
    "IP_ADDRESS": Pattern(rf"{_EDGE}({_IPV4}{_EDGE}|{_IPV6})", rf"{_IPV4}|{_IPV6}"),
    "PHONE": Pattern(rf"({_PHONE}\b)", _PHONE.replace(r"\b", "")),
}
"""By class; of values that overlap, that of the class which stands first here is hidden."""

ENDLESS: Final = frozenset({"JWT", "URL_CREDENTIALS", "API_KEY", "EMAIL"})
"""The classes whose values may have any length."""
