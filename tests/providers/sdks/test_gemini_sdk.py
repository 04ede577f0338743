"""Google's own SDK reads our golden exchanges to the same meaning, and writes requests as we do."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from llmproxy_grpc.messages import FunctionTool, GenerationConfig, Message, Role, TextPart, ToolChoice, ToolMode
from tests.fakes.faulty_upstream import Answer
from tests.providers.conversations import ask
from tests.providers.kinds.gemini import KIND
from tests.providers.test_golden import GOLDEN, expected

FOLDER = GOLDEN / "gemini"
STREAMS = sorted(FOLDER.glob("*.sse"))


# The SDK derives from a class of aiohttp that warns of it, and leaves its sessions to the collector.
pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class:DeprecationWarning")


@pytest.fixture
async def client(upstream) -> AsyncIterator[Any]:
    from google import genai  # noqa: PLC0415 - two seconds of imports that other tests need not wait for

    options = genai.types.HttpOptions(base_url=upstream.url, api_version="v1beta")
    async with genai.Client(api_key="test-key", http_options=options).aio as opened:
        yield opened


def said(parts: list[Any]) -> tuple[str, str, list[Any]]:
    """Text, thinking and calls, as the SDK read them."""
    text = "".join(part.text for part in parts if part.text and not part.thought)
    thinking = "".join(part.text for part in parts if part.text and part.thought)
    calls = [[part.function_call.name, part.function_call.args or {}] for part in parts if part.function_call]
    return text, thinking, calls


def meant(path) -> tuple[str, str, list[Any]]:
    parts = expected(path)["candidates"][0]["parts"]
    text = "".join(part.get("text", "") for part in parts)
    thinking = "".join(part.get("reasoning", "") for part in parts)
    calls = [[part["tool_call"][1], json.loads(part["tool_call"][2])] for part in parts if "tool_call" in part]
    return text, thinking, calls


@pytest.mark.parametrize("path", STREAMS, ids=lambda path: path.stem)
async def test_the_sdk_reads_our_streams_to_the_same_meaning(client, upstream, path):
    upstream.script(KIND.streaming([path.read_bytes()]))
    chunks = [chunk async for chunk in await client.models.generate_content_stream(model="m", contents="Hello?")]
    first = [
        candidate
        for chunk in chunks
        for position, candidate in enumerate(chunk.candidates or ())
        if (candidate.index or position) == 0
    ]
    parts = [part for candidate in first if candidate.content for part in candidate.content.parts or ()]
    assert said(parts) == meant(path)
    reasons = [candidate.finish_reason.value for candidate in first if candidate.finish_reason]
    assert reasons == [expected(path)["candidates"][0]["raw_finish_reason"]]


async def test_the_sdk_reads_our_answer_to_the_same_meaning(client, upstream):
    path = FOLDER / "answer.json"
    upstream.script(Answer.json(path.read_bytes()))
    answer = await client.models.generate_content(model="m", contents="Hello?")
    assert said(answer.candidates[0].content.parts) == meant(path)
    assert answer.usage_metadata.thoughts_token_count == expected(path)["usage"]["reasoning"]


async def test_the_sdk_writes_the_same_request(client, upstream, http):
    upstream.default = Answer.json(KIND.answer("x"))
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    request = ask(
        messages=(Message(Role.SYSTEM, (TextPart(text="Be brief."),)), Message(Role.USER, (TextPart(text="Hello?"),))),
        tools=(FunctionTool("weather", "tells", json.dumps(schema)),),
        tool_choice=ToolChoice(ToolMode.REQUIRED),
        generation=GenerationConfig(max_output_tokens=5, temperature=0.5, top_k=3, stop_sequences=("END",), seed=1),
    )
    provider = await KIND.provider(upstream, http)
    await provider.chat(provider.adapt(request, "m").request, "m")
    function = {"name": "weather", "description": "tells", "parameters_json_schema": schema}
    await client.models.generate_content(
        model="m",
        contents="Hello?",
        config={
            "system_instruction": "Be brief.",
            "tools": [{"function_declarations": [function]}],
            "tool_config": {"function_calling_config": {"mode": "ANY"}},
            "automatic_function_calling": {"disable": True},
            "max_output_tokens": 5,
            "temperature": 0.5,
            "top_k": 3,
            "stop_sequences": ["END"],
            "seed": 1,
        },
    )
    ours, theirs = (request.json() for request in upstream.requests)
    theirs["systemInstruction"].pop("role", None)
    # Google takes names of both spellings, and the SDK mixes them.
    (declared,) = theirs["tools"][0]["functionDeclarations"]
    declared["parametersJsonSchema"] = declared.pop("parameters_json_schema")
    assert ours == theirs
    assert upstream.requests[0].path == upstream.requests[1].path
