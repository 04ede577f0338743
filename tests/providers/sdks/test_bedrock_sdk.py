"""AWS's own SDK reads our golden exchanges to the same meaning, and validates, writes and signs requests as we do."""

import asyncio
import json
from base64 import b64decode
from datetime import UTC, datetime
from typing import Any

import pytest

from llmproxy_grpc.messages import (
    CacheHint,
    EmbedRequest,
    FunctionTool,
    GenerationConfig,
    JsonSchemaFormat,
    MediaKind,
    MediaPart,
    Message,
    OpaquePart,
    ProviderTool,
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
from llmproxy_grpc.providers.sigv4 import AwsCredentials, Signer
from llmproxy_grpc.providers.thinking_tokens import redacted_token, signature_token
from tests.fakes.faulty_upstream import Answer, Request
from tests.providers.conversations import ask
from tests.providers.kinds.bedrock import KIND
from tests.providers.test_golden import GOLDEN, expected

FOLDER = GOLDEN / "bedrock"
# What is from the future is an error to the SDK.
STREAMS = sorted(path for path in FOLDER.glob("*.bin") if "unknown" not in path.stem)
ANSWERS = sorted(path for path in FOLDER.glob("answer_*.json") if not path.name.endswith(".expected.json"))
CLAUDE = "eu.anthropic.claude-sonnet-4-5-20250929-v1:0"
PROFILE = "arn:aws:bedrock:eu-central-1:123456789012:application-inference-profile/abc"
"""Which tells no maker, and so may take any media."""
STATIC = {"api_key": None, "access_key_id": "test-key-id", "secret_access_key": "test-secret"}
ASKED: dict[str, Any] = {"modelId": CLAUDE, "messages": [{"role": "user", "content": [{"text": "Hello?"}]}]}
SCHEMA = '{"type": "object", "properties": {"city": {"type": "string"}}}'

PICTURE = MediaPart(kind=MediaKind.IMAGE, data=b"\x00\xff", media_type="image/png")
EVERYTHING = (
    Message(Role.SYSTEM, (TextPart(text="Be brief.", cache_hint=CacheHint(ttl=3600)),)),
    Message(
        Role.USER,
        (
            TextPart(text="Hello?", cache_hint=CacheHint()),
            PICTURE,
            MediaPart(kind=MediaKind.DOCUMENT, data=b"x", media_type="application/pdf", filename="a_b.pdf"),
            MediaPart(kind=MediaKind.VIDEO, uri="s3://bucket/v.mp4"),
            MediaPart(kind=MediaKind.AUDIO, data=b"x", media_type="audio/mpeg"),
        ),
    ),
    Message(
        Role.ASSISTANT,
        (
            ReasoningPart(text="Hm.", continuity_token=signature_token("EqQB")),
            ReasoningPart(redacted=True, continuity_token=redacted_token("RXJVQg==")),
            ToolCallPart(id="t1", name="weather", arguments_json='{"city": "Paris", "n": 9007199254740993}'),
            OpaquePart(
                provider_kind="bedrock",
                type="toolUse",
                value={"toolUseId": "s1", "name": "nova_grounding", "type": "server_tool_use", "input": {"q": 1.0}},
            ),
        ),
    ),
    Message(
        Role.TOOL, (ToolResultPart(tool_call_id="t1", content=(TextPart(text="rain"), PICTURE)), ToolResultPart("t2"))
    ),
)
WEATHER = FunctionTool("weather", "tells", SCHEMA, strict=True)
REQUESTS = {
    "everything": (
        PROFILE,
        ask(
            messages=EVERYTHING,
            tools=(WEATHER, ProviderTool("bedrock", "systemTool", {"name": "nova_grounding"})),
            tool_choice=ToolChoice(ToolMode.AUTO, parallel_tool_calls=False),
            generation=GenerationConfig(
                max_output_tokens=5000,
                stop_sequences=("END",),
                reasoning=ReasoningConfig(budget_tokens=2000),
                response_format=JsonSchemaFormat("a", SCHEMA),
            ),
            provider_options={
                "bedrock": {
                    "guardrailConfig": {"guardrailIdentifier": "abc", "guardrailVersion": "1", "trace": "enabled"},
                    "performanceConfig": {"latency": "optimized"},
                    "requestMetadata": {"team": "x"},
                    "serviceTier": {"type": "flex"},
                }
            },
        ),
    ),
    "a tool by name": (CLAUDE, ask(tools=(WEATHER,), tool_choice=ToolChoice(function_name="weather"))),
    "any tool": (
        "amazon.nova-pro-v1:0",
        ask(
            tools=(FunctionTool("f"),),
            tool_choice=ToolChoice(ToolMode.REQUIRED),
            generation=GenerationConfig(temperature=0.5, top_p=0.25, top_k=7),
        ),
    ),
    "tools of the past": (PROFILE, ask(messages=EVERYTHING)),
    "an ARN": (
        "arn:aws:bedrock:eu-central-1:123456789012:inference-profile/eu.anthropic.claude-opus-4-7",
        ask(generation=GenerationConfig(reasoning=ReasoningConfig(ReasoningEffort.LOW))),
    ),
}


@pytest.fixture
def client(upstream) -> Any:
    import boto3  # noqa: PLC0415 - imports that other tests need not wait for
    from botocore.config import Config  # noqa: PLC0415

    return boto3.client(
        "bedrock-runtime",
        region_name="eu-central-1",
        endpoint_url=upstream.url,
        aws_access_key_id="test-key-id",
        aws_secret_access_key="test-secret",
        config=Config(retries={"max_attempts": 0}),
    )


def arguments(value: Any) -> Any:
    """A body as the arguments of the SDK, which takes bytes where the wire has base64."""
    if isinstance(value, dict):
        return {
            name: b64decode(item) if name in {"bytes", "redactedContent"} else arguments(item)
            for name, item in value.items()
        }
    return [arguments(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", REQUESTS)
async def test_what_we_send_is_valid_to_the_sdk_which_sends_the_same(client, upstream, http, name):
    model, request = REQUESTS[name]
    upstream.default = Answer.json(KIND.answer("x"))
    bedrock = await KIND.provider(upstream, http, **STATIC)
    adapted = bedrock.adapt(request, model)
    assert adapted.unsupported == ()
    await bedrock.chat(adapted.request, model)
    ours = upstream.requests[0]
    await asyncio.to_thread(lambda: client.converse(modelId=model, **arguments(ours.json())))
    theirs = upstream.requests[1]
    assert ours.path == theirs.path
    assert ours.json() == theirs.json()
    assert signed(ours) == signed(theirs)


async def test_a_prompt_to_count_is_valid_to_the_sdk(client, upstream, http):
    upstream.default = Answer.json(b'{"inputTokens":42}')
    bedrock = await KIND.provider(upstream, http, **STATIC)
    own = {"system": [{"text": "Be brief."}], "additionalModelRequestFields": {"anthropic_beta": ["b"]}}
    asked = ask(messages=EVERYTHING, tools=(WEATHER,), provider_options={"bedrock": own})
    request = bedrock.adapt(asked, CLAUDE).request
    assert await bedrock.count_tokens(request, CLAUDE) == 42
    ours = upstream.requests[0]
    model = CLAUDE.removeprefix("eu.")
    told = await asyncio.to_thread(lambda: client.count_tokens(modelId=model, **arguments(ours.json())))
    assert told["inputTokens"] == 42
    assert (ours.path, ours.json()) == (upstream.requests[1].path, upstream.requests[1].json())


async def test_vectors_are_asked_for_where_the_sdk_asks(client, upstream, http):
    upstream.default = Answer.json(b'{"embedding":[1,2],"inputTextTokenCount":3}')
    bedrock = await KIND.provider(upstream, http, **STATIC)
    await bedrock.embed(EmbedRequest("m", (TextPart(text="a"),)), "amazon.titan-embed-text-v2:0")
    ours = upstream.requests[0]
    await asyncio.to_thread(
        lambda: client.invoke_model(
            modelId="amazon.titan-embed-text-v2:0", body=ours.body, contentType="application/json"
        )
    )
    assert (ours.path, ours.body) == (upstream.requests[1].path, upstream.requests[1].body)


@pytest.mark.parametrize("name", REQUESTS)
async def test_we_sign_the_sdks_own_requests_to_the_byte(client, upstream, name):
    model, _ = REQUESTS[name]
    upstream.default = Answer.json(KIND.answer("x"))
    await asyncio.to_thread(lambda: client.converse(**{**ASKED, "modelId": model}))
    request = upstream.requests[0]
    now = datetime.strptime(request.headers["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    ours = Signer("eu-central-1", "bedrock").sign(
        "POST",
        f"{upstream.url}{request.path}",
        request.body,
        keys=AwsCredentials("test-key-id", "test-secret"),
        now=now.timestamp(),
        headers={"content-type": request.headers["content-type"]},
    )
    assert ours["authorization"] == request.headers["authorization"]


def signed(request: Request) -> list[str]:
    """Whose signature it is, and of what."""
    return request.headers["authorization"].split(", ")[:2]


def meant(path) -> list[Any]:
    words: list[Any] = []
    for part in expected(path)["candidates"][0]["parts"]:
        if "tool_call" in part:
            words.append(part["tool_call"])
        elif part.get("redacted"):
            words.append("redacted")
        elif "media" in part:
            words.append(part["media"][2])
        elif "opaque" in part:
            words.append(part["opaque"][1:])
        else:
            words.append(part.get("reasoning") or part["text"])
    return words


def read(events: list[Any]) -> tuple[list[Any], str, Any]:
    """What the SDK's events say, in the words of the files."""
    blocks: dict[int, list[Any]] = {}
    stop, usage = "", None
    for event in events:
        if "contentBlockStart" in event:
            blocks[event["contentBlockStart"]["contentBlockIndex"]] = [event["contentBlockStart"]["start"]]
        elif "contentBlockDelta" in event:
            delta = event["contentBlockDelta"]
            blocks.setdefault(delta["contentBlockIndex"], [{}]).append(delta["delta"])
        stop = event.get("messageStop", {}).get("stopReason", stop)
        usage = event.get("metadata", {}).get("usage", usage)
    return [block(start, deltas) for start, *deltas in blocks.values()], stop, usage


def block(start: Any, deltas: list[Any]) -> Any:
    call, result = start.get("toolUse"), start.get("toolResult")
    if call is not None:
        text = "".join(delta["toolUse"]["input"] for delta in deltas) or "{}"
        if "type" in call:
            return ["toolUse", {**call, "input": json.loads(text)}]
        return [call["toolUseId"], call["name"], text]
    if result is not None:
        pieces = [piece for delta in deltas for piece in delta["toolResult"]]
        text = "".join(piece.get("text", "") for piece in pieces)
        return ["toolResult", {**result, "content": [{"text": text}, *(piece for piece in pieces if "json" in piece)]}]
    if "image" in start:
        return sum(len(delta["image"]["source"]["bytes"]) for delta in deltas)
    thinking = [delta["reasoningContent"] for delta in deltas if "reasoningContent" in delta]
    if any("redactedContent" in piece for piece in thinking):
        return "redacted"
    return "".join(piece.get("text", "") for piece in [*thinking, *deltas])


@pytest.mark.parametrize("path", STREAMS, ids=lambda path: path.stem)
async def test_the_sdk_reads_our_streams_to_the_same_meaning(client, upstream, path):
    upstream.script(KIND.streaming([path.read_bytes()]))
    events = await asyncio.to_thread(lambda: list(client.converse_stream(**ASKED)["stream"]))
    words, stop, usage = read(events)
    # The SDK leaves both halves of a split character as they are; JSON joins them.
    assert json.loads(json.dumps(words)) == meant(path)
    assert stop == expected(path)["candidates"][0]["raw_finish_reason"]
    assert usage["outputTokens"] == expected(path)["usage"]["output"]


@pytest.mark.parametrize("path", ANSWERS, ids=lambda path: path.stem)
async def test_the_sdk_reads_our_answers_to_the_same_meaning(client, upstream, path):
    upstream.script(Answer.json(path.read_bytes()))
    answer = await asyncio.to_thread(lambda: client.converse(**ASKED))
    words: list[Any] = []
    for part in answer["output"]["message"]["content"]:
        if "reasoningContent" in part:
            words.append("redacted")
        elif "citationsContent" in part:
            words.append("".join(piece["text"] for piece in part["citationsContent"]["content"]))
        elif "image" in part:
            words.append(len(part["image"]["source"]["bytes"]))
        elif part.get("text") != "":
            words.append(list(*part.items()))
    assert words == meant(path)
    assert answer["stopReason"] == expected(path)["candidates"][0]["raw_finish_reason"]
