"""A prompt of four mebibytes holds nobody up."""

import asyncio

import pytest

from llmproxy_grpc._gen.v1 import chat_pb2, content_pb2, health_pb2, model_pb2
from tests.fakes.busy import LIMIT, SLACK
from tests.fakes.faulty_upstream import FaultyUpstream
from tests.rpc.faults.exchange import proxying, well

SIZE = 4 * 1024 * 1024
TEXTS = {
    "of ASCII": ["hello world " * (SIZE // 12)],
    "of lines to escape": ['say "x"\n' * (SIZE // 8)],
    "of Chinese": ["語" * (SIZE // 3)],
    "in 4,000 messages": ["x" * (SIZE // 4000)] * 4000,
}


def prompt(texts):
    roles = (content_pb2.ROLE_USER, content_pb2.ROLE_ASSISTANT)
    messages = [
        content_pb2.Message(role=roles[index % 2], parts=[content_pb2.ContentPart(text=text)])
        for index, text in enumerate(texts)
    ]
    messages.append(content_pb2.Message(role=content_pb2.ROLE_USER, parts=[content_pb2.ContentPart(text="So?")]))
    return chat_pb2.ChatRequest(model="assistant", messages=messages)


@pytest.mark.parametrize("texts", TEXTS.values(), ids=TEXTS.keys())
async def test_a_prompt_of_four_mebibytes_never_holds_the_loop(serve, busy, texts):
    async with FaultyUpstream() as upstream, proxying(serve, upstream) as server:
        asked = prompt(texts)
        upstream.handler = lambda _request: well("Hello", "Chat")
        await server.stub.Chat(asked)
        upstream.handler = lambda _request: well("Hello", "Stream")
        async for _ in server.stub.Stream(chat_pb2.StreamRequest(chat=asked)):
            pass
        counted = await server.stub.CountTokens(model_pb2.CountTokensRequest(chat=asked))
        assert counted.input_tokens > SIZE / 5
        assert busy.longest < LIMIT * SLACK, busy.name


async def test_health_answers_while_large_prompts_come(serve):
    async with serve() as server:
        asked = prompt(TEXTS["in 4,000 messages"])
        calls = [server.stub.Chat(asked) for _ in range(8)]
        health = [server.stub.Health(health_pb2.HealthRequest(), timeout=20) for _ in range(8)]
        await asyncio.gather(*health)
        await asyncio.gather(*calls)


UNKNOWN = bytes([0xF8, 0x7F, 0x01])
"""The field 2047, in three bytes."""


async def test_a_million_unknown_fields_never_hold_the_loop_and_those_of_settings_are_told(serve, busy):
    asked = chat_pb2.ChatRequest(model="assistant", messages=prompt([]).messages, generation={"temperature": 1})
    asked.generation.MergeFromString(UNKNOWN)
    async with serve() as server:
        chat = server.channel.unary_unary(
            "/llmproxy.v1.LlmProxyService/Chat", response_deserializer=chat_pb2.ChatResponse.FromString
        )
        answer = await chat(asked.SerializeToString() + UNKNOWN * 1_000_000)
        warned = [(warning.code, warning.field) for warning in answer.warnings]
        assert warned == [("UNKNOWN_FIELD", "generation.2047")]
        assert busy.longest < LIMIT * SLACK, busy.name


async def test_a_result_of_twenty_thousand_texts_never_holds_the_loop(serve, busy):
    call = content_pb2.Message(
        role=content_pb2.ROLE_ASSISTANT,
        parts=[content_pb2.ContentPart(tool_call={"id": "c", "name": "f", "arguments_json": "{}"})],
    )
    content = [content_pb2.ContentPart(text="a few words each")] * 19_990
    result = content_pb2.Message(
        role=content_pb2.ROLE_TOOL,
        parts=[content_pb2.ContentPart(tool_result={"tool_call_id": "c", "content": content})],
    )
    async with FaultyUpstream() as upstream, proxying(serve, upstream) as server:
        upstream.handler = lambda _request: well("Hello", "Chat")
        await server.stub.Chat(chat_pb2.ChatRequest(model="assistant", messages=[call, result]))
        assert busy.longest < LIMIT * SLACK, busy.name
