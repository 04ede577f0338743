"""How the tests of the HTTP client ask and read."""

import asyncio

from llmproxy_grpc.providers.http import HttpClient, HttpResponse
from tests.fakes.faulty_upstream import FaultyUpstream
from tests.fakes.polling import until

HEADERS = {"authorization": "Bearer test-key", "content-type": "application/json"}
LIMIT = 1024 * 1024
SOON = 1.0  # the promise is 100 ms; tests assert ten times the figure


async def ask(client: HttpClient, url: str, body: bytes | None = b"{}", method: str = "POST") -> bytes:
    async with client.request(method, url, headers=HEADERS, body=body) as response:
        return await response.read(LIMIT)


async def take(response: HttpResponse, received: list[bytes]) -> None:
    while chunk := await response.chunk():
        received.append(chunk)


async def chunks(response: HttpResponse) -> list[bytes]:
    received: list[bytes] = []
    await take(response, received)
    return received


async def being_sent(client: HttpClient) -> asyncio.Transport:
    """Waits until the one request in flight has filled its line; gives that."""
    await until(lambda: any(one.transport.get_write_buffer_size() for one in client._connector._acquired))
    (connection,) = client._connector._acquired
    return connection.transport


async def gone(upstream: FaultyUpstream, number: int = 0) -> None:
    async with asyncio.timeout(SOON):
        await upstream.requests[number].closed.wait()
