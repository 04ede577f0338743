"""CRC-32C, if the package `google-crc32c` is there; files have their SHA-256 in any case."""

from collections.abc import Callable
from typing import Final

try:
    from google_crc32c import value as _value
except ImportError:
    _value = None

crc32c: Final[Callable[[bytes], int] | None] = _value
