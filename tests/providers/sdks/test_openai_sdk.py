"""OpenAI's own SDK reads our golden exchanges to the same meaning, and writes requests as we do, by both APIs."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from llmproxy_grpc.messages import FunctionTool, GenerationConfig, Message, Role, TextPart, ToolChoice, ToolMode
from tests.fakes.faulty_upstream import Answer
from tests.providers.conversations import ask
from tests.providers.kinds.openai import KIND as CHAT
from tests.providers.kinds.responses import KIND as RESPONSES
from tests.providers.test_golden import GOLDEN, expected

# What OpenAI itself sends; other vendors' departures are not for its SDK to read.
CHAT_STREAMS = sorted((GOLDEN / "openai").glob("openai_*.sse"))
RESPONSE_STREAMS = sorted(path for path in (GOLDEN / "responses").glob("*.sse") if path.stem != "without_numbers")
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
REQUEST = ask(
    messages=(Message(Role.SYSTEM, (TextPart(text="Be brief."),)), Message(Role.USER, (TextPart(text="Hello?"),))),
    tools=(FunctionTool("weather", "tells", json.dumps(SCHEMA), strict=True),),
    tool_choice=ToolChoice(ToolMode.REQUIRED, parallel_tool_calls=False),
    generation=GenerationConfig(max_output_tokens=50, temperature=0.5),
)


@pytest.fixture
async def client(upstream) -> AsyncIterator[Any]:
    from openai import AsyncOpenAI  # noqa: PLC0415 - a second of imports that other tests need not wait for

    async with AsyncOpenAI(api_key="test-key", base_url=f"{upstream.url}/v1", max_retries=0) as opened:
        yield opened


def meant(path) -> tuple[str, str, list[Any]]:
    parts = expected(path)["candidates"][0]["parts"]
    text = "".join(part.get("text", "") for part in parts)
    refusal = "".join(part.get("refusal", "") for part in parts)
    return text, refusal, [part["tool_call"] for part in parts if "tool_call" in part]


@pytest.mark.parametrize("path", CHAT_STREAMS, ids=lambda path: path.stem)
async def test_the_sdk_reads_our_streams_of_chunks_to_the_same_meaning(client, upstream, path):
    upstream.script(CHAT.streaming([path.read_bytes()]))
    stream = await client.chat.completions.create(model="m", messages=[], stream=True)
    deltas = [chunk.choices[0].delta async for chunk in stream if chunk.choices]
    spoken = (delta.audio.transcript for delta in deltas if delta.audio)
    text = "".join(delta.content or "" for delta in deltas) + "".join(words or "" for words in spoken)
    refusal = "".join(delta.refusal or "" for delta in deltas)
    calls: dict[int, list[str]] = {}
    for fragment in (each for delta in deltas for each in delta.tool_calls or ()):
        call = calls.setdefault(fragment.index, ["", "", ""])
        call[0] += fragment.id or ""
        call[1] += fragment.function.name or ""
        call[2] += fragment.function.arguments or ""
    assert (text, refusal, list(calls.values())) == meant(path)


@pytest.mark.parametrize("path", RESPONSE_STREAMS, ids=lambda path: path.stem)
async def test_the_sdk_reads_our_streams_of_events_to_the_same_meaning(client, upstream, path):
    upstream.script(RESPONSES.streaming([path.read_bytes()]))
    text, refusal, calls, last = "", "", [], None
    async for event in await client.responses.create(model="m", input="Hello?", stream=True):
        if event.type == "response.output_text.delta":
            text += event.delta
        elif event.type == "response.refusal.delta":
            refusal += event.delta
        elif event.type == "response.output_item.done" and event.item.type == "function_call":
            calls.append([event.item.call_id, event.item.name, event.item.arguments])
        last = event
    assert (text, refusal, calls) == meant(path)
    assert last.response.usage.output_tokens == expected(path)["usage"]["output"]


async def test_the_sdk_reads_our_response_to_the_same_meaning(client, upstream):
    path = GOLDEN / "responses" / "answer.json"
    upstream.script(Answer.json(path.read_bytes()))
    answer = await client.responses.create(model="m", input="Hello?")
    custom = [[item.call_id, item.name, item.input] for item in answer.output if item.type == "custom_tool_call"]
    assert (answer.output_text, "", custom) == meant(path)


async def test_the_sdk_writes_the_same_chat_completion(client, upstream, http):
    upstream.default = Answer.json(CHAT.answer("x"))
    provider = await CHAT.provider(upstream, http, preset="openai")
    await provider.chat(provider.adapt(REQUEST, "m").request, "m")
    function = {"name": "weather", "description": "tells", "parameters": SCHEMA, "strict": True}
    await client.chat.completions.create(
        model="m",
        messages=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello?"}],
        tools=[{"type": "function", "function": function}],
        tool_choice="required",
        parallel_tool_calls=False,
        max_completion_tokens=50,
        temperature=0.5,
    )
    ours, theirs = upstream.requests
    assert (ours.json(), ours.path) == (theirs.json(), theirs.path)


async def test_the_sdk_writes_the_same_request_for_a_response(client, upstream, http):
    upstream.default = Answer.json(RESPONSES.answer("x"))
    provider = await RESPONSES.provider(upstream, http)
    await provider.chat(provider.adapt(REQUEST, "m").request, "m")
    function = {"type": "function", "name": "weather", "description": "tells", "parameters": SCHEMA, "strict": True}
    await client.responses.create(
        model="m",
        input=[
            {"type": "message", "role": "system", "content": "Be brief."},
            {"type": "message", "role": "user", "content": "Hello?"},
        ],
        tools=[function],
        tool_choice="required",
        parallel_tool_calls=False,
        max_output_tokens=50,
        temperature=0.5,
        store=False,
    )
    ours, theirs = upstream.requests
    assert (ours.json(), ours.path) == (theirs.json(), theirs.path)
