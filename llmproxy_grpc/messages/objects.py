"""Whether a text, such as a tool call's arguments, is one JSON object."""

from typing import Final

import msgspec
from msgspec import Raw

_OBJECT: Final = msgspec.json.Decoder(dict[str, Raw])


def is_object(text: str | bytes) -> bool:
    """Whether a text is one JSON object."""
    try:
        _OBJECT.decode(text)
    except (ValueError, RecursionError):
        return False
    return True
