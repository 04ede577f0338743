"""Writes frames of Amazon's event streams."""

import struct
from zlib import crc32


def frame(name: str, payload: bytes, *, message_type: str = "event") -> bytes:
    """One frame; an exception has its type where an event has its own."""
    headers = {
        ":message-type": message_type,
        f":{message_type}-type": name,
        ":content-type": "application/json",
    }
    head = b"".join(_header(key, value) for key, value in headers.items())
    prelude = struct.pack(">II", 16 + len(head) + len(payload), len(head))
    body = prelude + struct.pack(">I", crc32(prelude)) + head + payload
    return body + struct.pack(">I", crc32(body))


def _header(name: str, value: str) -> bytes:
    key, text = name.encode(), value.encode()
    return bytes((len(key),)) + key + b"\x07" + struct.pack(">H", len(text)) + text
