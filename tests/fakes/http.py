"""The smallest HTTP client: one GET on a connection of its own."""

import asyncio


async def get(address: str, path: str) -> tuple[int, str]:
    """Gives the status and the body; `address` is HOST:PORT or unix:PATH."""
    host, _, port = address.rpartition(":")
    if host == "unix":
        reader, writer = await asyncio.open_unix_connection(port)
    else:
        reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    await writer.drain()
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    head, _, body = answer.decode().partition("\r\n\r\n")
    return int(head.split()[1]), body
