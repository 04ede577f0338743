"""Google's own SDK reads our golden exchanges to the same meaning, and writes requests as we do."""

import json
import re
from base64 import b64decode
from collections.abc import AsyncIterator
from typing import Any

import pytest

from llmproxy_grpc.messages import (
    EmbedPurpose,
    EmbedRequest,
    FunctionTool,
    GenerationConfig,
    JsonSchemaFormat,
    MediaKind,
    MediaPart,
    Message,
    ReasoningConfig,
    ReasoningEffort,
    ReasoningPart,
    Role,
    TextPart,
    ToolCallPart,
    ToolChoice,
    ToolMode,
    ToolResultPart,
)
from tests.fakes.faulty_upstream import Answer
from tests.providers.conversations import ask
from tests.providers.kinds.gemini import KIND
from tests.providers.test_golden import GOLDEN, expected

FOLDER = GOLDEN / "gemini"
# The SDK asks on by itself where an answer is to be continued.
STREAMS = sorted(path for path in FOLDER.glob("*.sse") if path.stem != "to_be_continued")


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
    assert reasons[-1] == expected(path)["candidates"][0]["raw_finish_reason"]


async def test_the_sdk_reads_our_answer_to_the_same_meaning(client, upstream):
    path = FOLDER / "answer.json"
    upstream.script(Answer.json(path.read_bytes()))
    answer = await client.models.generate_content(model="m", contents="Hello?")
    assert said(answer.candidates[0].content.parts) == meant(path)
    assert answer.usage_metadata.thoughts_token_count == expected(path)["usage"]["reasoning"]


PICTURE = b"\x89PNG"


async def test_the_sdk_writes_the_same_tool_loop(client, upstream, http):
    upstream.default = Answer.json(KIND.answer("x"))
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    call = ToolCallPart(id="fc1", name="f", arguments_json='{"n":1}', continuity_token=b"CiQB")
    shown = MediaPart(kind=MediaKind.IMAGE, data=PICTURE, media_type="image/png")
    result = ToolResultPart(tool_call_id="fc1", content=(TextPart(text='{"a":1}'), shown))
    request = ask(
        messages=(
            Message(Role.USER, (TextPart(text="Look."), shown)),
            Message(Role.ASSISTANT, (ReasoningPart(text="Hm.", continuity_token=b"CiQD"), call)),
            Message(Role.TOOL, (result,)),
        ),
        generation=GenerationConfig(
            response_format=JsonSchemaFormat("n", json.dumps(schema)),
            reasoning=ReasoningConfig(ReasoningEffort.LOW, include=True),
        ),
    )
    model = "gemini-3-flash-preview"
    provider = await KIND.provider(upstream, http)
    adapted = provider.adapt(request, model)
    assert adapted.unsupported == ()
    await provider.chat(adapted.request, model)
    blob = {"inline_data": {"mime_type": "image/png", "data": PICTURE}}
    answered = {"id": "fc1", "name": "f", "response": {"a": 1}, "parts": [blob]}
    await client.models.generate_content(
        model=model,
        contents=[
            {"role": "user", "parts": [{"text": "Look."}, blob]},
            {
                "role": "model",
                "parts": [
                    {"text": "Hm.", "thought": True, "thought_signature": b64decode("CiQD")},
                    {
                        "function_call": {"id": "fc1", "name": "f", "args": {"n": 1}},
                        "thought_signature": b64decode("CiQB"),
                    },
                ],
            },
            {"role": "user", "parts": [{"function_response": answered}]},
        ],
        config={
            "response_mime_type": "application/json",
            "response_json_schema": schema,
            "thinking_config": {"thinking_level": "LOW", "include_thoughts": True},
        },
    )
    ours, theirs = (request.json() for request in upstream.requests)
    assert in_one_spelling(ours) == in_one_spelling(theirs)


async def test_the_sdk_asks_for_vectors_as_we_do(client, upstream, http):
    upstream.handler = KIND.respond
    model = "gemini-embedding-001"
    provider = await KIND.provider(upstream, http)
    request = EmbedRequest("m", (TextPart(text="a"), TextPart(text="bb")), 2, EmbedPurpose.QUERY)
    ours = await provider.embed(request, model)
    theirs = await client.models.embed_content(
        model=model, contents=["a", "bb"], config={"task_type": "RETRIEVAL_QUERY", "output_dimensionality": 2}
    )
    assert [list(vector) for vector in ours.vectors] == [each.values for each in theirs.embeddings]
    asked, they_asked = (request.json()["requests"] for request in upstream.requests)
    for each in they_asked:
        each["content"].pop("role", None)
    assert asked == they_asked
    assert upstream.requests[0].path == upstream.requests[1].path


async def test_the_sdk_reads_our_list_of_models(client, upstream):
    upstream.handler = KIND.respond
    (model,) = [model async for model in await client.models.list()]
    assert (model.name, model.input_token_limit) == ("models/test-model", 1000)


def in_one_spelling(value: Any) -> Any:
    """Google takes names of both spellings, base64 of both alphabets, and the SDK mixes them."""
    if isinstance(value, dict):
        return {
            re.sub(r"_(\w)", lambda found: found[1].upper(), name): in_one_spelling(each)
            for name, each in value.items()
        }
    if isinstance(value, list):
        return [in_one_spelling(each) for each in value]
    return value.replace("-", "+").replace("_", "/") if isinstance(value, str) else value


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
