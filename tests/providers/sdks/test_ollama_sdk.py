"""Ollama's own client library reads our golden exchanges to the same meaning, and writes requests as we do."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from llmproxy_grpc.messages import FunctionTool, GenerationConfig, Message, Role, TextPart
from tests.fakes.faulty_upstream import Answer
from tests.providers.conversations import ask
from tests.providers.kinds.ollama import KIND
from tests.providers.test_golden import GOLDEN, expected

STREAMS = sorted((GOLDEN / "ollama").glob("*.ndjson"))


@pytest.fixture
async def client(upstream) -> AsyncIterator[Any]:
    from ollama import AsyncClient  # noqa: PLC0415 - imports that other tests need not wait for

    opened = AsyncClient(host=upstream.url)
    yield opened
    await opened._client.aclose()


def said(messages: list[Any]) -> tuple[str, str, list[Any]]:
    text = "".join(message.content or "" for message in messages)
    thinking = "".join(message.thinking or "" for message in messages)
    calls = [call.function for message in messages for call in message.tool_calls or ()]
    return text, thinking, [[call.name, dict(call.arguments)] for call in calls]


def meant(path) -> tuple[str, str, list[Any]]:
    parts = expected(path)["candidates"][0]["parts"]
    text = "".join(part.get("text", "") for part in parts)
    thinking = "".join(part.get("reasoning", "") for part in parts)
    calls = [[part["tool_call"][1], json.loads(part["tool_call"][2])] for part in parts if "tool_call" in part]
    return text, thinking, calls


@pytest.mark.parametrize("path", STREAMS, ids=lambda path: path.stem)
async def test_the_library_reads_our_streams_to_the_same_meaning(client, upstream, path):
    upstream.script(KIND.streaming([path.read_bytes()]))
    chunks = [chunk async for chunk in await client.chat(model="m", messages=[], stream=True)]
    assert said([chunk.message for chunk in chunks]) == meant(path)
    assert chunks[-1].done_reason == expected(path)["candidates"][0]["raw_finish_reason"]


async def test_the_library_reads_our_answer_to_the_same_meaning(client, upstream):
    path = GOLDEN / "ollama" / "answer.json"
    upstream.script(Answer.json(path.read_bytes()))
    answer = await client.chat(model="m", messages=[])
    assert said([answer.message]) == meant(path)
    assert answer.prompt_eval_count == expected(path)["usage"]["input"]


async def test_the_library_writes_the_same_request(client, upstream, http):
    upstream.default = Answer.json(KIND.answer("x"))
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    request = ask(
        messages=(Message(Role.SYSTEM, (TextPart(text="Be brief."),)), Message(Role.USER, (TextPart(text="Hello?"),))),
        tools=(FunctionTool("weather", "tells", json.dumps(schema)),),
        generation=GenerationConfig(max_output_tokens=5, seed=1),
    )
    provider = await KIND.provider(upstream, http)
    await provider.chat(provider.adapt(request, "m").request, "m")
    function = {"name": "weather", "description": "tells", "parameters": schema}
    await client.chat(
        model="m",
        messages=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello?"}],
        tools=[{"type": "function", "function": function}],
        options={"num_predict": 5, "seed": 1},
    )
    ours, theirs = (request.json() for request in upstream.requests)
    assert ours == theirs
