"""OpenAI's own SDK for Azure reads our golden exchanges to the same meaning, and asks as we do."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from llmproxy_grpc.messages import EmbedRequest, GenerationConfig, TextPart
from tests.fakes.faulty_upstream import Answer
from tests.providers.conversations import ask
from tests.providers.kinds.azure import KIND
from tests.providers.kinds.responses import KIND as RESPONSES
from tests.providers.test_golden import GOLDEN, expected

VERSION = "2024-10-21"
ASKED: dict[str, Any] = {"model": "test-model", "messages": [{"role": "user", "content": "Hello?"}]}


@pytest.fixture
async def client(upstream) -> AsyncIterator[Any]:
    from openai import AsyncAzureOpenAI  # noqa: PLC0415 - a second of imports that other tests need not wait for

    async with AsyncAzureOpenAI(
        api_key="test-key", azure_endpoint=upstream.url, api_version=VERSION, max_retries=0
    ) as opened:
        yield opened


def text_of(path) -> str:
    return "".join(part.get("text", "") for part in expected(path)["candidates"][0]["parts"])


@pytest.mark.parametrize("path", sorted((GOLDEN / "azure").glob("*.sse")), ids=lambda path: path.stem)
async def test_the_sdk_reads_our_streams_to_the_same_meaning(client, upstream, path):
    upstream.script(KIND.streaming([path.read_bytes()]))
    stream = await client.chat.completions.create(**ASKED, stream=True)
    deltas = [chunk.choices[0].delta async for chunk in stream if chunk.choices]
    assert "".join(delta.content or "" for delta in deltas if delta is not None) == text_of(path)


async def test_the_sdk_reads_our_answer_to_the_same_meaning(client, upstream):
    path = GOLDEN / "azure" / "answer.json"
    upstream.script(Answer.json(path.read_bytes()))
    answer = await client.chat.completions.create(**ASKED)
    assert (answer.choices[0].message.content or "") == text_of(path)


async def test_the_sdk_asks_the_same_place_the_same_with_the_same_key(client, upstream, http):
    upstream.handler = KIND.respond
    provider = await KIND.provider(upstream, http, api_version=VERSION, deployment=None)
    await provider.chat(ask("Hello?", generation=GenerationConfig(max_output_tokens=5)), "test-model")
    await client.chat.completions.create(**ASKED, max_completion_tokens=5)
    await provider.embed(EmbedRequest("m", (TextPart(text="a"),)), "ada")
    await client.embeddings.create(model="ada", input=["a"])
    await provider.probe()
    await client.models.list()
    for ours, theirs in zip(upstream.requests[::2], upstream.requests[1::2], strict=True):
        assert (ours.path, ours.headers["api-key"]) == (theirs.path, theirs.headers["api-key"])
        assert json.loads(ours.body or b"{}") == json.loads(theirs.body or b"{}")


async def test_the_sdk_asks_for_a_response_at_the_same_place(client, upstream, http):
    upstream.handler = RESPONSES.respond
    provider = await KIND.provider(upstream, http, api_version=VERSION, deployment=None, api="responses")
    await provider.chat(ask("Hello?"), "test-model")
    await client.responses.create(
        model="test-model", input=[{"type": "message", "role": "user", "content": "Hello?"}], store=False
    )
    ours, theirs = upstream.requests
    assert (ours.path, ours.json()) == (theirs.path, theirs.json())
