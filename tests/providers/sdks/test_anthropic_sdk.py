"""Anthropic's own SDK reads our golden exchanges to the same meaning, and writes requests as we do."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from llmproxy_grpc.messages import FunctionTool, GenerationConfig, Message, Role, TextPart, ToolChoice, ToolMode
from tests.fakes.faulty_upstream import Answer
from tests.providers.conversations import ask
from tests.providers.kinds.anthropic import KIND
from tests.providers.test_golden import GOLDEN, expected

FOLDER = GOLDEN / "anthropic"
STREAMS = sorted(path for path in FOLDER.glob("*.sse") if "unknown" not in path.stem)
ANSWERS = sorted(path for path in FOLDER.glob("*.json") if not path.name.endswith(".expected.json"))
ASKED: dict[str, Any] = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "Hello?"}]}


@pytest.fixture
async def client(upstream) -> AsyncIterator[Any]:
    from anthropic import AsyncAnthropic  # noqa: PLC0415 - a second of imports that other tests need not wait for

    async with AsyncAnthropic(api_key="test-key", base_url=upstream.url, max_retries=0) as opened:
        yield opened


def meaning(content: list[Any]) -> list[Any]:
    """What the SDK read, in the words of the files."""
    words: list[Any] = []
    for block in content:
        if block.type == "text":
            words.append(block.text)
        elif block.type == "thinking":
            words.append(block.thinking)
        elif block.type == "tool_use":
            words.append([block.id, block.name, block.input])
    return words


def meant(path) -> list[Any]:
    words: list[Any] = []
    for part in expected(path)["candidates"][0]["parts"]:
        if "tool_call" in part:
            call_id, name, arguments = part["tool_call"]
            words.append([call_id, name, json.loads(arguments)])
        elif part.get("reasoning") or "text" in part:
            words.append(part.get("reasoning") or part["text"])
    return words


@pytest.mark.parametrize("path", STREAMS, ids=lambda path: path.stem)
async def test_the_sdk_reads_our_streams_to_the_same_meaning(client, upstream, path):
    upstream.script(KIND.streaming([path.read_bytes()]))
    async with client.messages.stream(**ASKED) as stream:
        message = await stream.get_final_message()
    assert meaning(message.content) == meant(path)
    assert message.stop_reason == expected(path)["candidates"][0]["raw_finish_reason"]
    assert message.usage.output_tokens == expected(path)["usage"]["output"]


@pytest.mark.parametrize("path", [path for path in ANSWERS if "digit" not in path.stem], ids=lambda path: path.stem)
async def test_the_sdk_reads_our_answers_to_the_same_meaning(client, upstream, path):
    upstream.script(Answer.json(path.read_bytes()))
    message = await client.messages.create(**ASKED)
    assert meaning(message.content) == meant(path)


async def test_the_sdk_writes_the_same_request(client, upstream, http):
    upstream.default = Answer.json(KIND.answer("x"))
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    request = ask(
        messages=(Message(Role.SYSTEM, (TextPart(text="Be brief."),)), Message(Role.USER, (TextPart(text="Hello?"),))),
        tools=(FunctionTool("weather", "tells", json.dumps(schema)),),
        tool_choice=ToolChoice(ToolMode.REQUIRED, parallel_tool_calls=False),
        generation=GenerationConfig(max_output_tokens=5, stop_sequences=("END",)),
    )
    provider = await KIND.provider(upstream, http)
    await provider.chat(provider.adapt(request, "m").request, "m")
    await client.messages.create(
        model="m",
        max_tokens=5,
        system=[{"type": "text", "text": "Be brief."}],
        messages=[{"role": "user", "content": [{"type": "text", "text": "Hello?"}]}],
        tools=[{"name": "weather", "description": "tells", "input_schema": schema}],
        tool_choice={"type": "any", "disable_parallel_tool_use": True},
        stop_sequences=["END"],
    )
    ours, theirs = upstream.requests
    assert ours.json() == theirs.json()
    assert ours.path == theirs.path
