"""A call as bytes on a connection of its own: with headers that the client library keeps to itself."""

import asyncio
from collections.abc import Mapping
from typing import Final

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS = 0, 1, 4
END_STREAM, END_HEADERS = 1, 4


async def raw_call(address: str, path: str, message: bytes, headers: Mapping[str, str]) -> None:
    """Makes a call and waits until it has ended; its answer is not read.

    Args:
        address: Host and port, without TLS.
        path: `/package.Service/Method`.
        message: The request.
        headers: Further ones; names and values of up to 126 bytes.
    """
    host, _, port = address.rpartition(":")
    usual = {
        ":method": "POST",
        ":scheme": "http",
        ":path": path,
        ":authority": address,
        "te": "trailers",
        "content-type": "application/grpc",
    }
    block = b"".join(_literal(name, value) for name, value in {**usual, **headers}.items())
    body = b"\0" + len(message).to_bytes(4, "big") + message
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(
            PREFACE
            + _frame(SETTINGS, 0, 0, b"")
            + _frame(HEADERS, END_HEADERS, 1, block)
            + _frame(DATA, END_STREAM, 1, body)
        )
        while True:
            head = await reader.readexactly(9)
            await reader.readexactly(int.from_bytes(head[:3], "big"))
            if head[3] in (DATA, HEADERS) and head[4] & END_STREAM:
                return
    finally:
        writer.close()


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def _literal(name: str, value: str) -> bytes:
    """A header without any compression."""
    return b"\0" + b"".join(bytes([len(text)]) + text.encode() for text in (name, value))
