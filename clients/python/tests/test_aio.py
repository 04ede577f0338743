"""The asynchronous client, on a real channel."""

import asyncio

import grpc
import pytest

from llmproxy_client import BrokenStream, Tls, error_detail
from llmproxy_client.aio import collect, connect, count_tokens, embed, stream, text
from llmproxy_client.v1.chat_pb2 import ChatRequest

CHAT = ChatRequest(model="assistant")


async def left(script) -> bool:
    return await asyncio.to_thread(script.left.wait, 2)


async def test_unary_and_stream_answer_alike(target):
    async with connect(target) as client:
        whole = await client.stub.Chat(CHAT)
        async with stream(client.stub, CHAT) as events:
            streamed = await collect(events)

    assert whole.candidates[0].message == streamed.candidates[0].message


async def test_text_comes_piece_by_piece(target):
    async with connect(target) as client, stream(client.stub, CHAT) as events:
        assert [piece async for piece in text(events)] == ["Hello", " there"]


@pytest.mark.parametrize("key", [None, "test-key"])
async def test_leaving_the_block_cancels_the_call(script, target, key):
    script.hang = True
    async with connect(target, api_key=key) as client:
        async with stream(client.stub, CHAT) as events:
            async for _ in events:
                break
            assert not script.left.is_set()

        assert await left(script)


async def test_leaving_before_the_first_read_is_no_error(script, target):
    async with connect(target, api_key="test-key") as client, stream(client.stub, CHAT):
        pass


async def test_a_cancelled_task_cancels_its_call(script, target):
    script.hang = True

    async def ask() -> None:
        async with stream(client.stub, CHAT) as events:
            await collect(events)

    async with connect(target) as client:
        task = asyncio.create_task(ask())
        assert await asyncio.to_thread(script.reached.wait, 2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await left(script)


async def test_a_stream_without_end_is_refused(script, target, spoken):
    script.events = spoken("Hello")[:-1]
    async with connect(target) as client, stream(client.stub, CHAT) as events:
        with pytest.raises(BrokenStream):
            await collect(events)


async def test_text_without_end_is_refused(script, target, spoken):
    script.events = spoken("Hello")[:-1]
    async with connect(target) as client, stream(client.stub, CHAT) as events:
        pieces = text(events)
        assert await anext(pieces) == "Hello"
        with pytest.raises(BrokenStream):
            await anext(pieces)


async def test_the_key_travels_with_every_call(script, target):
    async with connect(target, api_key="test-key") as client:
        await client.stub.Chat(CHAT)
        async with stream(client.stub, CHAT, metadata=[("x-request-id", "r")]) as events:
            await collect(events)
        await client.stub.Chat(CHAT, metadata=[("authorization", "Bearer other-key")])

    keys = [metadata["authorization"] for metadata in script.metadata]
    assert keys == ["Bearer test-key", "Bearer test-key", "Bearer other-key"]
    assert script.metadata[1]["x-request-id"] == "r"


async def test_errors_tell_what_the_proxy_told(script, target, refusal):
    script.error = refusal(grpc.StatusCode.NOT_FOUND, "no such model", trailers=[("x-request-id", "r")])
    async with connect(target, api_key="test-key") as client:
        with pytest.raises(grpc.RpcError) as caught:
            await client.stub.Chat(CHAT)

    failure = error_detail(caught.value)
    assert (failure.code, failure.message) == (grpc.StatusCode.NOT_FOUND, "no such model")
    assert failure.request_id == "r"


async def test_unavailable_is_repeated_before_the_first_message(script, target, refusal):
    script.error, script.failures = refusal(grpc.StatusCode.UNAVAILABLE, "busy"), 1
    async with connect(target) as client:
        assert (await client.stub.Chat(CHAT)).id == "r1"

    assert len(script.asked) == 2


async def test_tls(script, serving, certificates):
    server = grpc.ssl_server_credentials([(certificates.key.read_bytes(), certificates.cert.read_bytes())])
    with serving(script, credentials=server) as target:
        async with connect(target, tls=Tls(str(certificates.ca)), api_key="test-key") as client:
            assert (await client.stub.Chat(CHAT)).id == "r1"

    assert script.metadata[0]["authorization"] == "Bearer test-key"


async def test_vectors_and_counts_are_as_of_the_synchronous_client(script, target):
    async with connect(target) as client:
        assert await embed(client.stub, "m", ["a"], dimensions=2, timeout=5) == script.embedded
        assert await count_tokens(client.stub, CHAT, timeout=5) == script.counted
    assert [part.text for part in script.asked[0].inputs] == ["a"]
    assert script.asked[1].chat == CHAT
