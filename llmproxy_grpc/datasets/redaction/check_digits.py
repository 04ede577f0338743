"""Arithmetic that tells a number somebody has from one that only looks like it."""

from collections.abc import Sequence
from typing import Final

_LUHN_DOUBLED: Final = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)
_CNPJ_WEIGHTS: Final = (6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2)


def luhn(digits: bytes) -> bool:
    """Whether the last digit is the check digit of a card's number."""
    values = [digit - 48 for digit in reversed(digits)]
    return (sum(values[::2]) + sum(_LUHN_DOUBLED[value] for value in values[1::2])) % 10 == 0


def mod97(iban: bytes) -> bool:
    """Whether the third and fourth character are the check digits of an account's number, in upper case."""
    return int("".join(str(int(chr(character), 36)) for character in iban[4:] + iban[:4])) % 97 == 1


def cpf(digits: bytes) -> bool:
    """Whether the last two of eleven digits are the check digits of a Brazilian person."""
    values = [digit - 48 for digit in digits]
    if len(set(values)) == 1:
        return False
    return all(values[place] == _mod11(values[:place], range(place + 1, 1, -1)) for place in (9, 10))


def cnpj(characters: bytes) -> bool:
    """Whether the last two of fourteen digits or letters are the check digits of a Brazilian company."""
    values = [character - 48 for character in characters]
    if len(set(values)) == 1:
        return False
    return all(values[place] == _mod11(values[:place], _CNPJ_WEIGHTS[13 - place :]) for place in (12, 13))


def _mod11(values: Sequence[int], weights: Sequence[int]) -> int:
    rest = sum(value * weight for value, weight in zip(values, weights, strict=True)) % 11
    return 0 if rest < 2 else 11 - rest
