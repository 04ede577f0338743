"""Providers' own words, made fit for callers and logs: secrets masked whole, control characters out, short."""

import re
from collections.abc import Sequence

_MASK = "***"
_READ_AT_MOST = 4096
_CONTROLS = re.compile(r"[\x00-\x20\x7f-\xa0\u2028\u2029\ud800-\udfff]+")
_SECRETS = (
    (re.compile(r"(?<=\w://)[^\s/@]*@"), f"{_MASK}@"),
    # Up to the next `://` at most, from where it is tried again: else each one would be followed to the same end.
    (re.compile(r"(?<=\w://)((?:(?!(?<=\w)://)[^\s?#\"'<>])*+)[?#][^\s\"'<>]*"), rf"\1?{_MASK}"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[^\s\"',;]+"), rf"\1 {_MASK}"),
    (
        re.compile(
            r"(?i)\b((?:[a-z]+[-_ ]?)?(?:api[-_ ]?key|token|secret|password|passwd|authorization|credential)"
            r"(?: provided)?[\"']?\s*[:=]\s*)[\"']?[^\s\"',;]+"
        ),
        rf"\1{_MASK}",
    ),
    # Keys by their vendors' prefixes, then anything as long as a key: 32 characters of base64 or hex with a digit.
    (re.compile(r"\b(?:[a-z]{2,5}[-_]|AIza|AKIA|ASIA|eyJ)[\w*.-]{16,}"), _MASK),
    (re.compile(r"\bsk[-_][\w*.-]+"), _MASK),
    (re.compile(r"(?<![\w+/=-])(?=[\w+/=-]*\d)[\w+/=-]{32,}"), _MASK),
)
_CODE = re.compile(r"[A-Za-z0-9_.:/ -]{1,64}")


def scrubbed(text: str, *, secrets: Sequence[str] = (), limit: int = 256) -> str:
    """One line of text without `secrets` and anything that looks like one, of at most `limit` bytes in UTF-8."""
    line = text[:_READ_AT_MOST]
    if len(line) < len(text):
        line = line.rpartition(" ")[0]  # half a secret would not be known for one
    for secret in secrets:
        line = line.replace(secret, _MASK)
    line = _without_controls(line)
    for pattern, mask in _SECRETS:
        line = pattern.sub(mask, line)
    return _cut(line, limit)


def one_line(text: str, *, limit: int) -> str:
    """A text that is for the caller anyway, without control characters, of at most `limit` bytes in UTF-8."""
    return _cut(_without_controls(text[:limit]), limit)


def identifier(value: object) -> str:
    """A provider's code or request id, empty if it does not look like one."""
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    return text if _CODE.fullmatch(text) else ""


def _without_controls(text: str) -> str:
    return _CONTROLS.sub(" ", text).strip()


def _cut(text: str, limit: int) -> str:
    return text.encode()[:limit].decode("utf-8", "ignore")
