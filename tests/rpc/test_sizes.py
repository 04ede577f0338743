"""Messages of several MiB, beyond what gRPC's own defaults let through."""

import grpc
import pytest

from llmproxy_grpc._gen.v1.llm_proxy_service_pb2_grpc import LlmProxyServiceStub
from tests.fakes.requests import chat_request, stream_request
from tests.fakes.scripted_provider import response

MIB = 2**20
LONG = "x" * (5 * MIB)
ANY_LENGTH = (("grpc.max_receive_message_length", -1),)
DEFAULT_LIMIT = 4 * MIB


async def test_a_request_of_five_mebibytes_is_accepted(serve):
    async with serve() as server:
        await server.stub.Chat(chat_request(LONG))
        async for _ in server.stub.Stream(stream_request(LONG)):
            pass
        assert [len(asked.messages[0].parts[0].text) for asked in server.scripted.requests] == [5 * MIB] * 2


@pytest.mark.parametrize("over", [False, True], ids=["at the limit", "one byte more"])
async def test_a_request_beyond_the_limit_is_refused_by_grpc_itself(serve, over):
    limit = chat_request("x" * 100_000).ByteSize()
    async with serve({"grpc": {"listen": "127.0.0.1:0", "predrain": 0, "max_receive_bytes": limit}}) as server:
        call = server.stub.Chat(chat_request("x" * (100_000 + over)))
        if not over:
            assert (await call).model == "assistant"
            return
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await call
        assert raised.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        # The bytes never reach us, so the status has no reason of ours.
        assert "grpc-status-details-bin" not in dict(raised.value.trailing_metadata())
        assert server.scripted.requests == []
        assert (await server.stub.Chat(chat_request())).model == "assistant"


async def test_an_answer_of_five_mebibytes_arrives_where_the_client_allows_it(serve):
    async with serve() as server, grpc.aio.insecure_channel(server.address, options=ANY_LENGTH) as channel:
        server.scripted.chats.append(response(LONG))
        answered = await LlmProxyServiceStub(channel).Chat(chat_request())
        assert answered.candidates[0].message.parts[0].text == LONG


async def test_a_client_that_allows_four_mebibytes_refuses_more_by_itself(serve):
    async with serve() as server:
        server.scripted.chats.append(response(LONG))
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await server.stub.Chat(chat_request())
        assert raised.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert str(DEFAULT_LIMIT) in raised.value.details()
