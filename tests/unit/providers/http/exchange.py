"""How the tests of the HTTP client ask and read."""

import asyncio

from llmproxy_grpc.providers.http import HttpClient, HttpResponse
from tests.fakes.faulty_upstream import FaultyUpstream

HEADERS = {"authorization": "Bearer test-key", "content-type": "application/json"}
LIMIT = 1024 * 1024


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


async def gone(upstream: FaultyUpstream, number: int = 0) -> None:
    async with asyncio.timeout(0.1):
        await upstream.requests[number].closed.wait()
