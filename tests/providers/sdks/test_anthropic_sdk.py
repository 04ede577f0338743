"""Anthropic's own SDK reads our golden exchanges to the same meaning, and writes requests as we do."""

import json
from base64 import b64decode
from collections.abc import AsyncIterator
from typing import Any

import pytest

from llmproxy_grpc.messages import (
    CacheHint,
    FunctionTool,
    GenerationConfig,
    JsonSchemaFormat,
    MediaKind,
    MediaPart,
    Message,
    ProviderTool,
    ReasoningConfig,
    ReasoningPart,
    Role,
    TextPart,
    ToolCallPart,
    ToolChoice,
    ToolMode,
    ToolResultPart,
)
from llmproxy_grpc.providers.thinking_tokens import redacted_token, signature_token
from tests.fakes.faulty_upstream import Answer
from tests.providers.conversations import ask, collected
from tests.providers.kinds.anthropic import KIND
from tests.providers.test_golden import GOLDEN, expected

FOLDER = GOLDEN / "anthropic"
STREAMS = sorted(
    path for path in FOLDER.glob("*.sse") if path.stem not in {"two_texts_and_unknown_events", "compaction"}
)
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
            words.append([block.text, [citation.cited_text for citation in block.citations or ()]])
        elif block.type == "thinking":
            words += [block.thinking] if block.thinking else []
        elif block.type == "tool_use":
            words.append([block.id, block.name, block.input])
        elif block.type != "redacted_thinking":
            words.append(block.to_dict(mode="json", exclude_unset=True))
    return words


def meant(path) -> list[Any]:
    words: list[Any] = []
    for part in expected(path)["candidates"][0]["parts"]:
        if "tool_call" in part:
            call_id, name, arguments = part["tool_call"]
            words.append([call_id, name, json.loads(arguments)])
        elif "text" in part:
            words.append([part["text"], [quoted for *_, quoted in part.get("citations", ())]])
        elif part.get("reasoning"):
            words.append(part["reasoning"])
        elif "opaque" in part:
            _, kind, value = part["opaque"]
            words.append({"type": kind, **value})
    return words


def counted(usage: Any) -> list[int]:
    """The counts that the SDK read, by the arithmetic that it documents."""
    cached, written = usage.cache_read_input_tokens or 0, usage.cache_creation_input_tokens or 0
    return [usage.input_tokens + cached + written, cached, written, usage.output_tokens]


def meant_counts(path) -> list[int]:
    usage = expected(path)["usage"]
    return [usage[name] for name in ("input", "cached", "cache_write", "output")]


@pytest.mark.parametrize("path", STREAMS, ids=lambda path: path.stem)
async def test_the_sdk_reads_our_streams_to_the_same_meaning(client, upstream, path):
    upstream.script(KIND.streaming([path.read_bytes()]))
    async with client.messages.stream(**ASKED) as stream:
        message = await stream.get_final_message()
    if path.stem != "cut_within_a_search":  # the SDK mends what was cut off; we show it
        assert meaning(message.content) == meant(path)
    assert message.stop_reason == expected(path)["candidates"][0]["raw_finish_reason"]
    assert counted(message.usage) == meant_counts(path)


# The SDK leaves half a character in the one about digits.
@pytest.mark.parametrize("path", [path for path in ANSWERS if "digit" not in path.stem], ids=lambda path: path.stem)
async def test_the_sdk_reads_our_answers_to_the_same_meaning(client, upstream, path):
    upstream.script(Answer.json(path.read_bytes()))
    message = await client.messages.create(**ASKED)
    assert meaning(message.content) == meant(path)
    assert counted(message.usage) == meant_counts(path)


async def test_the_sdk_reads_a_summary_of_the_conversation_as_we_do(client, upstream):
    path = FOLDER / "compaction.sse"
    upstream.script(KIND.streaming([path.read_bytes()]))
    async with client.beta.messages.stream(**ASKED) as stream:
        message = await stream.get_final_message()
    kind, value = expected(path)["candidates"][0]["parts"][0]["opaque"][1:]
    summary = message.content[0]
    assert (summary.type, summary.content, summary.encrypted_content) == (kind, *value.values())


PICTURE = "iVBORw0KGgo="
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
CONVERSATION = ask(
    messages=(
        Message(Role.SYSTEM, (TextPart(text="Be brief.", cache_hint=CacheHint(3600)),)),
        Message(
            Role.USER,
            (
                TextPart(text="Hello?"),
                MediaPart(kind=MediaKind.IMAGE, data=b64decode(PICTURE), media_type="image/png"),
                MediaPart(kind=MediaKind.DOCUMENT, uri="https://example.test/a.pdf", filename="a.pdf"),
            ),
        ),
        Message(
            Role.ASSISTANT,
            (
                ReasoningPart(text="Hm.", continuity_token=signature_token("EqQB")),
                ReasoningPart(redacted=True, continuity_token=redacted_token("ErUB")),
                ToolCallPart(id="toolu_1", name="weather", arguments_json='{"city":"Paris"}'),
                ToolCallPart(id="toolu_2", name="weather", arguments_json="{}"),
            ),
        ),
        Message(
            Role.TOOL,
            (
                ToolResultPart(tool_call_id="toolu_1", content=(TextPart(text="Sun"),)),
                ToolResultPart(tool_call_id="toolu_2", content=(TextPart(text="No city"),), is_error=True),
            ),
        ),
    ),
    tools=(
        FunctionTool("weather", "tells", json.dumps(SCHEMA), strict=True),
        ProviderTool("anthropic", "web_search_20250305", {"name": "web_search", "max_uses": 3.0}),
    ),
    tool_choice=ToolChoice(ToolMode.AUTO, parallel_tool_calls=False),
    generation=GenerationConfig(
        max_output_tokens=5000,
        stop_sequences=("END",),
        reasoning=ReasoningConfig(budget_tokens=2000),
        response_format=JsonSchemaFormat("n", json.dumps(SCHEMA)),
    ),
    end_user_id="u1",
    provider_options={"anthropic": {"service_tier": "auto"}},
)
PROMPT: dict[str, Any] = {
    "model": "claude-haiku-4-5",
    "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
    "messages": [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Hello?"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PICTURE}},
                {
                    "type": "document",
                    "source": {"type": "url", "url": "https://example.test/a.pdf"},
                    "title": "a.pdf",
                },
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "Hm.", "signature": "EqQB"},
                {"type": "redacted_thinking", "data": "ErUB"},
                {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Paris"}},
                {"type": "tool_use", "id": "toolu_2", "name": "weather", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": "Sun"}]},
                {
                    "type": "tool_result",
                    "tool_use_id": "toolu_2",
                    "content": [{"type": "text", "text": "No city"}],
                    "is_error": True,
                },
            ],
        },
    ],
    "tools": [
        {"name": "weather", "description": "tells", "input_schema": SCHEMA, "strict": True},
        {"type": "web_search_20250305", "name": "web_search", "max_uses": 3},
    ],
    "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
    "thinking": {"type": "enabled", "budget_tokens": 2000},
    "output_config": {"format": {"type": "json_schema", "schema": SCHEMA}},
}


@pytest.mark.parametrize("streamed", [True, False])
async def test_the_sdk_writes_the_same_request(client, upstream, http, streamed):
    answer = KIND.streaming(KIND.stream(["x"], None)) if streamed else Answer.json(KIND.answer("x"))
    upstream.script(answer, answer)
    provider = await KIND.provider(upstream, http)
    request = provider.adapt(CONVERSATION, PROMPT["model"]).request
    if streamed:
        await collected(provider.stream(request, PROMPT["model"]))
    else:
        await provider.chat(request, PROMPT["model"])
    await client.messages.create(
        **PROMPT,
        max_tokens=5000,
        stop_sequences=["END"],
        metadata={"user_id": "u1"},
        service_tier="auto",
        **({"stream": True} if streamed else {}),
    )
    ours, theirs = upstream.requests
    assert ours.json() == theirs.json()
    assert ours.path == theirs.path


async def test_the_sdk_counts_the_same_prompt_and_lists_by_the_same_address(client, upstream, http):
    counts, models = Answer.json(b'{"input_tokens": 5}'), Answer.json(KIND.models["/v1/models"])
    upstream.script(counts, counts, models, models)
    provider = await KIND.provider(upstream, http)
    await provider.count_tokens(provider.adapt(CONVERSATION, PROMPT["model"]).request, PROMPT["model"])
    await client.messages.count_tokens(**PROMPT)
    await provider.list_models()
    await client.models.list(limit=1000)
    counted_by_us, counted_by_them, listed_by_us, listed_by_them = upstream.requests
    assert counted_by_us.json() == counted_by_them.json()
    assert counted_by_us.path == counted_by_them.path
    assert listed_by_us.path == listed_by_them.path
