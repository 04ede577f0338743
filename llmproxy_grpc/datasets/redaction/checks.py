"""What no pattern can tell: whether something that looks like a value is one, and where it ends."""

from collections.abc import Callable, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from llmproxy_grpc.datasets.redaction.check_digits import cnpj, cpf, luhn, mod97

# Each takes a text and where in it a candidate is; it gives where that ends and its common spelling, or None.
Check = Callable[[bytes, int, int], tuple[int, bytes] | None]

# Of the countries in the registry of SWIFT, by length.
_IBAN_COUNTRIES: Final = {
    15: "NO",
    16: "BE",
    18: "DK FI FK FO GL NL SD",  # codespell:ignore
    19: "MK SI",
    20: "AT BA EE KZ LT LU MN XK",
    21: "CH HR LI LV",
    22: "BG BH CR DE GB GE IE ME RS VA",
    23: "AE GI IL IQ OM SO TL",
    24: "AD CZ ES MD PK RO SA SE SK TN VG",
    25: "LY PT ST",
    26: "IS TR",
    27: "BI DJ FR GR IT MC MR SM",
    28: "AL AZ BY CY DO GT HN HU LB NI PL SV",
    29: "BR EG PS QA UA",
    30: "JO KW MU YE",
    31: "MT SC",
    32: "LC",
    33: "RU",
}
_IBAN_LENGTHS: Final = {
    country.encode(): length for length, countries in _IBAN_COUNTRIES.items() for country in countries.split()
}
_NOT_PERSONAL: Final = frozenset({IPv4Address(0), IPv4Address("255.255.255.255"), IPv6Address(0), IPv6Address(1)})
_SHORTEST_PHONE: Final = 8
_COMMON_PHONE: Final = 10
_LONGEST_PHONE: Final = 15
_DIGITS: Final = frozenset(b"0123456789")
_ALPHANUMERIC: Final = frozenset(b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_LIKE_NAMES: Final = (b"sk-", b"pypi-", b"SG.", b"ya29.", b"Bearer ", b"bearer ")
"""How keys begin, and names and prose as well: keys are random, and so long that they have a digit."""
_OTHERS: Final = {each: bytes(set(range(256)) - each) for each in (_DIGITS, _ALPHANUMERIC)}
_CALL_IDS: Final = (b"call_", b"toolu_", b"tooluse_")


def _anything(text: bytes, start: int, end: int) -> tuple[int, bytes] | None:
    return end, text[start:end]


def _email(text: bytes, start: int, end: int) -> tuple[int, bytes] | None:
    return end, text[start:end].lower().replace(b"%40", b"@")


def _api_key(text: bytes, start: int, end: int) -> tuple[int, bytes] | None:
    value = text[start:end]
    if value.startswith(_LIKE_NAMES) and _DIGITS.isdisjoint(value):
        return None
    return end, value


def _iban(text: bytes, start: int, end: int) -> tuple[int, bytes] | None:
    length = _IBAN_LENGTHS.get(text[start : start + 2].upper(), 0)
    stop = _end_of(text, start, end, length, _ALPHANUMERIC)
    if not stop:
        return None
    value = _kept(text[start:stop], _ALPHANUMERIC).upper()
    return (stop, value) if mod97(value) else None


def _card(text: bytes, start: int, end: int) -> tuple[int, bytes] | None:
    if _within_number(text, start, end) or text[max(start - 8, 0) : start].endswith(_CALL_IDS):
        return None
    digits = _kept(text[start:end], _DIGITS)
    for length in _card_lengths(digits):
        # The digits first: numbers without their check digit are common, and where one ends is dearer to tell.
        if length <= len(digits) and luhn(digits[:length]):
            stop = _end_of(text, start, end, length, _DIGITS)
            if stop:
                return stop, digits[:length]
    return None


def _card_lengths(digits: bytes) -> tuple[int, ...]:
    first, two, four = digits[0] - 48, int(digits[:2]), int(digits[:4])
    if two in {34, 37}:
        return (15,)
    if first == 3:
        return (16,) if two == 35 else (14,)
    if first == 2:
        return (16,) if 2221 <= four <= 2720 else ()
    return (16, 19, 18, 17)


def _cpf(text: bytes, start: int, end: int) -> tuple[int, bytes] | None:
    value = _kept(text[start:end], _DIGITS)
    return (end, value) if not _within_number(text, start, end) and cpf(value) else None


def _cnpj(text: bytes, start: int, end: int) -> tuple[int, bytes] | None:
    value = _kept(text[start:end], _ALPHANUMERIC)
    # Without its marks it looks like any number of fourteen digits, but nearly all end on 0001 and check digits.
    spelled = len(value) < end - start or (value.isdigit() and value[8:11] == b"000")
    return (end, value) if spelled and not _within_number(text, start, end) and cnpj(value) else None


def _us_ssn(text: bytes, start: int, end: int) -> tuple[int, bytes] | None:
    value = _kept(text[start:end], _DIGITS)
    area, group, serial = value[:3], value[3:5], value[5:]
    given = area not in {b"000", b"666"} and area < b"900" and group != b"00" and serial != b"0000"
    return (end, value) if given and text[start + 3] == text[start + 6] else None


def _ip_address(text: bytes, start: int, end: int) -> tuple[int, bytes] | None:
    if _within_number(text, start, end):
        return None
    value = text[start:end].rstrip(b"_")
    if b":" in value:
        if text[end : end + 1].isalnum() or not any(digit in value for digit in _DIGITS):
            return None
        if value.endswith(b":") and not value.endswith(b"::"):
            value = value[:-1]
    try:
        address = ip_address(value.decode())
    except ValueError:
        return None
    if address.is_loopback or address in _NOT_PERSONAL:
        return None
    return start + len(value), str(address).encode()


def _phone(text: bytes, start: int, end: int) -> tuple[int, bytes] | None:
    international = text[start : start + 1] == b"+"
    if _within_number(text, start, end) or (international and text[start - 1 : start].isalnum()):
        return None
    value = _kept(text[start:end], _DIGITS)
    if len(value) > _LONGEST_PHONE:
        # Another number follows: it ends at the first gap behind enough digits.
        stops = (_end_of(text, start, end, length, _DIGITS) for length in range(_COMMON_PHONE, _LONGEST_PHONE + 1))
        end = next(filter(None, stops), start)
        value = _kept(text[start:end], _DIGITS)
    return (end, value) if len(value) >= _SHORTEST_PHONE else None


def _within_number(text: bytes, start: int, end: int) -> bool:
    """Whether a digit and a point stand before a candidate, or behind: then it is a piece of a longer number."""
    before = text[max(start - 2, 0) : start]
    after = text[end : end + 2]
    return (before[-1:] == b"." and before[0] in _DIGITS) or (after[:1] == b"." and after[-1] in _DIGITS)


def _kept(text: bytes, characters: frozenset[int]) -> bytes:
    return text.translate(None, _OTHERS[characters])


def _end_of(text: bytes, start: int, end: int, length: int, characters: frozenset[int]) -> int:
    """Where so many characters end, if nothing of their kind goes on there; else 0."""
    count = 0
    for place in range(start, end):
        if text[place] in characters:
            count += 1
            if count == length:
                return 0 if text[place + 1 : place + 2] and text[place + 1] in characters else place + 1
    return 0


CHECKS: Final[Mapping[str, Check]] = {
    "JWT": _anything,
    "URL_CREDENTIALS": _anything,
    "API_KEY": _api_key,
    "EMAIL": _email,
    "IBAN": _iban,
    "CNPJ": _cnpj,
    "CPF": _cpf,
    "CARD": _card,
    "US_SSN": _us_ssn,
    "IP_ADDRESS": _ip_address,
    "PHONE": _phone,
}
