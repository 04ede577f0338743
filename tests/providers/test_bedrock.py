"""The kind bedrock over a real connection: keys, regions, lists, and AWS's own SDK as the judge of both directions."""

import asyncio
import json
from typing import Any

import pytest

from llmproxy_grpc.config.schema import ProviderConfig
from llmproxy_grpc.errors import (
    CredentialsRejected,
    InvalidRequest,
    UpstreamProtocolError,
    UpstreamRateLimited,
    UpstreamServerError,
    UpstreamTimeout,
)
from llmproxy_grpc.messages import (
    FunctionTool,
    GenerationConfig,
    MediaKind,
    MediaPart,
    Message,
    ReasoningConfig,
    Role,
    TextPart,
    ToolCallPart,
    ToolChoice,
    ToolMode,
    ToolResultPart,
)
from llmproxy_grpc.providers.bedrock import BedrockProvider
from tests.fakes.eventstream import frame
from tests.fakes.faulty_upstream import Answer
from tests.providers.conversations import ask, assembled, collected
from tests.providers.kinds.bedrock import KIND
from tests.providers.test_golden import GOLDEN, expected

STREAMS = sorted(path for path in (GOLDEN / "bedrock").glob("*.bin") if "unknown" not in path.stem)
MODEL = "eu.anthropic.claude-sonnet-4-5-20250929-v1:0"
STATIC = {"api_key": None, "access_key_id": "test-key-id", "secret_access_key": "test-secret"}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
REQUEST = ask(
    messages=(
        Message(Role.SYSTEM, (TextPart(text="Be brief."),)),
        Message(
            Role.USER,
            (TextPart(text="Hello?"), MediaPart(kind=MediaKind.IMAGE, data=b"\x00\xff", media_type="image/png")),
        ),
        Message(Role.ASSISTANT, (ToolCallPart(id="t1", name="weather", arguments_json='{"city": "Paris"}'),)),
        Message(Role.TOOL, (ToolResultPart(tool_call_id="t1", content=(TextPart(text="rain"),)),)),
    ),
    tools=(FunctionTool("weather", "tells", json.dumps(SCHEMA)),),
    tool_choice=ToolChoice(ToolMode.REQUIRED),
    generation=GenerationConfig(max_output_tokens=5, temperature=0.5, stop_sequences=("END",)),
)
SAME_REQUEST: dict[str, Any] = {
    "modelId": MODEL,
    "system": [{"text": "Be brief."}],
    "messages": [
        {
            "role": "user",
            "content": [{"text": "Hello?"}, {"image": {"format": "png", "source": {"bytes": b"\x00\xff"}}}],
        },
        {
            "role": "assistant",
            "content": [{"toolUse": {"toolUseId": "t1", "name": "weather", "input": {"city": "Paris"}}}],
        },
        {
            "role": "user",
            "content": [{"toolResult": {"toolUseId": "t1", "content": [{"text": "rain"}], "status": "success"}}],
        },
    ],
    "toolConfig": {
        "tools": [{"toolSpec": {"name": "weather", "description": "tells", "inputSchema": {"json": SCHEMA}}}],
        "toolChoice": {"any": {}},
    },
    "inferenceConfig": {"maxTokens": 5, "temperature": 0.5, "stopSequences": ["END"]},
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


async def test_a_bearer_token_takes_the_place_of_a_signature(upstream, http):
    upstream.handler = KIND.respond
    await (await KIND.provider(upstream, http)).chat(ask(), MODEL)
    request = upstream.requests[0]
    assert request.path == "/model/eu.anthropic.claude-sonnet-4-5-20250929-v1%3A0/converse"
    assert request.headers["authorization"] == "Bearer test-key"


async def test_static_keys_sign(upstream, http):
    upstream.handler = KIND.respond
    bedrock = await KIND.provider(upstream, http, **STATIC, session_token="test-session")
    await bedrock.chat(ask(), MODEL)
    await bedrock.list_models()
    headers = upstream.requests[0].headers
    assert headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=test-key-id/")
    assert "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token" in headers["authorization"]
    assert headers["x-amz-security-token"] == "test-session"
    assert "SignedHeaders=host;x-amz-date;" in upstream.requests[1].headers["authorization"]


@pytest.mark.parametrize(
    ("config", "environ", "why"),
    [
        ({"api_key": "test-key"}, {}, "needs a region"),
        ({"region": "x", "access_key_id": "test-key-id"}, {}, "both or neither"),
        ({"region": "x", "api_key": "test-key", "base_url": "http://bedrock.example.test"}, {}, "https"),
    ],
)
def test_a_configuration_that_cannot_work_is_refused(http, config, environ, why):
    with pytest.raises(ValueError, match=why):
        BedrockProvider.from_config(ProviderConfig(name="b", kind="bedrock", **config), http, environ=environ)


async def test_keys_and_region_may_come_from_the_environment(upstream, http):
    upstream.handler = KIND.respond
    environ = {
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test-env-id",
        "AWS_SECRET_ACCESS_KEY": "test-secret",
    }
    config = ProviderConfig(name="b", kind="bedrock", base_url=upstream.url)
    await BedrockProvider.from_config(config, http, environ=environ).chat(ask(), "m")
    assert "Credential=test-env-id/" in upstream.requests[0].headers["authorization"]
    assert "/us-east-1/bedrock/" in upstream.requests[0].headers["authorization"]


async def test_a_profile_is_read_as_awss_own_tools_read_it(upstream, http, tmp_path, monkeypatch):
    file = tmp_path / "credentials"
    file.write_text("[team]\naws_access_key_id = test-profile-id\naws_secret_access_key = test-secret\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    upstream.handler = KIND.respond
    config = ProviderConfig(name="b", kind="bedrock", base_url=upstream.url, region="x", profile="team")
    bedrock = BedrockProvider.from_config(config, http, environ={})
    await bedrock.chat(ask(), "m")
    assert "Credential=test-profile-id/" in upstream.requests[0].headers["authorization"]
    missing = ProviderConfig(name="b", kind="bedrock", base_url=upstream.url, region="x", profile="nobody")
    with pytest.raises(CredentialsRejected):
        await BedrockProvider.from_config(missing, http, environ={}).chat(ask(), "m")


async def test_models_and_profiles_are_listed(upstream, http):
    upstream.script(
        Answer.json(
            b'{"modelSummaries":[{"modelId":"amazon.titan-embed","outputModalities":["EMBEDDING"]},'
            b'{"modelId":"amazon.nova","inputModalities":["TEXT","IMAGE"],"outputModalities":["TEXT"]}]}'
        ),
        Answer.json(b'{"inferenceProfileSummaries":[{"inferenceProfileId":"eu.a"}],"nextToken":"n/1"}'),
        Answer.json(b'{"inferenceProfileSummaries":[{"inferenceProfileId":"eu.b"}]}'),
    )
    models = await (await KIND.provider(upstream, http)).list_models()
    assert [model.name for model in models] == ["amazon.titan-embed", "amazon.nova", "eu.a", "eu.b"]
    assert upstream.requests[2].path == "/inference-profiles?maxResults=1000&nextToken=n%2F1"


@pytest.mark.parametrize(
    ("status", "name", "kind"),
    [
        (400, "ValidationException", InvalidRequest),
        (403, "AccessDeniedException", CredentialsRejected),
        (408, "ModelTimeoutException", UpstreamTimeout),
        (424, "ModelErrorException", UpstreamServerError),
        (429, "ThrottlingException", UpstreamRateLimited),
        (429, "ModelNotReadyException", UpstreamRateLimited),
        (500, "InternalServerException", UpstreamServerError),
    ],
)
async def test_errors_by_their_types_in_a_header_and_within_a_stream(upstream, http, status, name, kind):
    bedrock = await KIND.provider(upstream, http)
    headers = {"x-amzn-errortype": f"{name}:http://internal.amazon.com/", "x-amzn-requestid": "req-1"}
    upstream.script(Answer.json(b'{"message":"no"}', status=status, headers=headers))
    with pytest.raises(kind) as caught:
        await bedrock.chat(ask(), "m")
    assert (caught.value.fault.code, caught.value.fault.request_id) == (name, "req-1")
    in_stream = frame(name[0].lower() + name[1:], b'{"message":"no"}', message_type="exception")
    upstream.script(KIND.streaming([in_stream]))
    with pytest.raises(kind):
        await collected(bedrock.stream(ask(), "m"))


async def test_a_garbled_frame_ends_the_stream(upstream, http):
    body = bytearray(b"".join(KIND.stream(["One", " two"], None)))
    body[-30] ^= 1
    upstream.script(KIND.streaming([bytes(body)]))
    with pytest.raises(UpstreamProtocolError):
        await collected((await KIND.provider(upstream, http)).stream(ask(), "m"))


async def test_botocore_encodes_and_signs_the_same_call_to_the_same_bytes(client, upstream, http):
    upstream.default = Answer.json(KIND.answer("x"))
    bedrock = await KIND.provider(upstream, http, **STATIC)
    await bedrock.chat(bedrock.adapt(REQUEST, MODEL).request, MODEL)
    await asyncio.to_thread(lambda: client.converse(**SAME_REQUEST))
    ours, theirs = upstream.requests
    assert ours.path == theirs.path
    assert ours.json() == theirs.json()

    def signed(request) -> tuple[str, str]:
        credential, headers, _ = request.headers["authorization"].split(", ")
        return credential, headers

    assert signed(ours) == signed(theirs)


def meant(path) -> tuple[str, str, list[Any]]:
    parts = expected(path)["candidates"][0]["parts"]
    text = "".join(part.get("text", "") for part in parts)
    thinking = "".join(part.get("reasoning", "") for part in parts)
    return text, thinking, [[part["tool_call"][1], part["tool_call"][2]] for part in parts if "tool_call" in part]


@pytest.mark.parametrize("path", STREAMS, ids=lambda path: path.stem)
async def test_boto3_reads_our_streams_to_the_same_meaning(client, upstream, path):
    upstream.script(KIND.streaming([path.read_bytes()]))
    events = await asyncio.to_thread(lambda: list(client.converse_stream(**SAME_REQUEST)["stream"]))
    text, thinking, calls, reason = "", "", [], ""
    for event in events:
        if "contentBlockStart" in event:
            calls.append([event["contentBlockStart"]["start"]["toolUse"]["name"], ""])
        delta = event.get("contentBlockDelta", {}).get("delta", {})
        text += delta.get("text", "")
        thinking += delta.get("reasoningContent", {}).get("text", "")
        if "toolUse" in delta:
            calls[-1][1] += delta["toolUse"]["input"]
        reason = event.get("messageStop", {}).get("stopReason", reason)
    assert (text, thinking, [[name, arguments or "{}"] for name, arguments in calls]) == meant(path)
    assert reason == expected(path)["candidates"][0]["raw_finish_reason"]


@pytest.mark.parametrize("shown", [True, False])
async def test_a_tool_loop_sends_the_thinking_back_as_it_came(upstream, http, shown):
    config = GenerationConfig(reasoning=ReasoningConfig(budget_tokens=2000, include=shown))
    request = ask(tools=(FunctionTool("weather"), FunctionTool("now")), generation=config)
    bedrock = await KIND.provider(upstream, http)
    golden = GOLDEN / "bedrock" / "thinking_and_parallel_tools.bin"
    upstream.script(KIND.streaming([golden.read_bytes()]), Answer.json(KIND.answer("Done.")))
    said = assembled(await collected(bedrock.stream(request, MODEL))).candidates[0].message
    results = tuple(ToolResultPart(tool_call_id=f"tooluse_{n}", content=(TextPart(text="42"),)) for n in (1, 2))
    second = ask(messages=(*request.messages, said, Message(Role.TOOL, results)), tools=request.tools)
    await bedrock.chat(bedrock.adapt(second, MODEL).request, MODEL)
    assert upstream.requests[-1].json()["messages"][1]["content"][:2] == [
        {"reasoningContent": {"reasoningText": {"text": "Let me look.", "signature": "EqQBCg=="}}},
        {"reasoningContent": {"redactedContent": "ErUBxyz="}},
    ]
