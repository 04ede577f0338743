"""Writes frames of Amazon's event streams."""

import struct
from collections.abc import Mapping
from zlib import crc32


def frame(name: str, payload: bytes, *, message_type: str = "event", more: Mapping[str, str] | None = None) -> bytes:
    """One frame with these headers more; an exception has its type where an event has its own, an error has a code."""
    headers = {
        ":message-type": message_type,
        ":error-code" if message_type == "error" else f":{message_type}-type": name,
        ":content-type": "application/json",
        **(more or {}),
    }
    head = b"".join(_header(key, value) for key, value in headers.items())
    prelude = struct.pack(">II", 16 + len(head) + len(payload), len(head))
    body = prelude + struct.pack(">I", crc32(prelude)) + head + payload
    return body + struct.pack(">I", crc32(body))


def _header(name: str, value: str) -> bytes:
    key, text = name.encode(), value.encode()
    return bytes((len(key),)) + key + b"\x07" + struct.pack(">H", len(text)) + text
