"""What a plain word of YAML stands for, by the core schema of YAML 1.2: `off` and `no` are words, not truth values."""

import re
from typing import Final

Scalar = None | bool | int | float | str

_WORDS: Final[dict[str, Scalar]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_WHOLE: Final = re.compile(r"[-+]?[0-9]+")
_OTHER_RADIX: Final = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FRACTION: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE: Final = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_MOST_CHARACTERS: Final = 20


def resolve_scalar(text: str) -> Scalar:
    """Reads an unquoted word; raises ValueError for a number that nothing here could mean."""
    if text in _WORDS:
        return _WORDS[text]
    if _WHOLE.fullmatch(text) or _OTHER_RADIX.fullmatch(text):
        return _whole(text)
    if _FRACTION.fullmatch(text):
        return float(text)
    if _NOT_FINITE.fullmatch(text):
        raise ValueError("must be a finite number; quote it if it is text")
    return text


def number_in(value: object) -> object:
    """The number or truth value that a text spells: a variable's value is text, whatever it stands for."""
    if not isinstance(value, str):
        return value
    try:
        resolved = resolve_scalar(value.strip())
    except ValueError:
        return value
    return value if resolved is None else resolved


def _whole(text: str) -> int:
    number = int(text, 0 if text[:2] in {"0o", "0x"} else 10) if len(text) <= _MOST_CHARACTERS else 2**63
    if not -(2**63) <= number < 2**63:
        raise ValueError("is a number out of range; quote it if it is text")
    return number
