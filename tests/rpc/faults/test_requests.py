"""What upstreams get to see, and whose answer a caller gets."""

import asyncio
import json

from llmproxy_grpc._gen.v1 import chat_pb2
from tests.fakes.faulty_upstream import Answer, FaultyUpstream
from tests.fakes.requests import chat_request
from tests.rpc.conftest import asking
from tests.rpc.faults.exchange import (
    LIST,
    called,
    nothing_in_flight,
    proxying,
    said,
    well,
)


async def test_each_provider_gets_its_own_key_and_nothing_of_the_caller(serve, method):
    async with FaultyUpstream() as one, FaultyUpstream() as other:
        one.script(LIST, Answer.json(b"{}", status=500))
        other.script(LIST, well("Hello", method))
        config = asking(f"{one.url}/v1", f"{other.url}/v1")
        config["providers"][1]["api_key"] = "test-key-of-b"
        async with serve(config) as server:
            request = chat_request()
            request.labels["team"] = "label-canary"
            metadata = (
                ("authorization", "Bearer callers-canary"),
                ("x-api-key", "callers-canary"),
                ("x-request-id", "request-canary"),
                ("cookie", "callers-canary"),
                ("x-forwarded-for", "10.1.2.3"),
            )
            if method == "Stream":
                call = server.stub.Stream(chat_pb2.StreamRequest(chat=request), metadata=metadata, timeout=20)
            else:
                call = server.stub.Chat(request, metadata=metadata, timeout=20)
            await said(call)
    for upstream, key in ((one, "test-key"), (other, "test-key-of-b")):
        for received in upstream.requests:
            assert received.headers["authorization"] == f"Bearer {key}"
            assert received.headers["accept-encoding"] == "identity"
            everything = json.dumps(received.headers) + received.body.decode()
            assert "canary" not in everything
            assert "10.1.2.3" not in everything
            assert set(received.headers) <= {
                "accept",
                "accept-encoding",
                "authorization",
                "content-length",
                "content-type",
                "host",
                "user-agent",
            }


async def test_no_call_answers_another(serve, upstream, method):
    """Calls at once, some of them cancelled: each answer is that of its own question."""
    async with proxying(serve, upstream) as server:
        upstream.handler = lambda request: well(request.json()["messages"][0]["content"], method)

        async def one(number: int) -> None:
            call = called(server, method, text=f"question {number}")
            if number % 5 == 0:
                await asyncio.sleep(0.001 * (number % 3))
                call.cancel()
                return
            assert (await said(call)).text == f"question {number}"

        await asyncio.gather(*(one(number) for number in range(100)))
        await nothing_in_flight(server)
