"""The kind bedrock over a real connection: keys, lists, vectors, counts, errors, and thinking that comes back."""

import json
from typing import Any

import pytest
from msgspec.structs import replace

from llmproxy_grpc.config.schema import ProviderConfig
from llmproxy_grpc.errors import (
    CapabilityNotSupported,
    CredentialsRejected,
    InvalidRequest,
    UpstreamOverloaded,
    UpstreamProtocolError,
    UpstreamRateLimited,
    UpstreamServerError,
    UpstreamStreamBroken,
    UpstreamTimeout,
)
from llmproxy_grpc.messages import (
    EmbedRequest,
    FunctionTool,
    GenerationConfig,
    Message,
    OpaquePart,
    ReasoningConfig,
    ReasoningPart,
    Role,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from llmproxy_grpc.providers.bedrock import BedrockProvider
from llmproxy_grpc.providers.thinking_tokens import hidden_token
from tests.fakes.eventstream import frame
from tests.fakes.faulty_upstream import Answer
from tests.providers.conversations import ask, assembled, collected
from tests.providers.kinds.bedrock import KIND
from tests.providers.test_golden import GOLDEN

MODEL = "eu.anthropic.claude-sonnet-4-5-20250929-v1:0"
STATIC = {"api_key": None, "access_key_id": "test-key-id", "secret_access_key": "test-secret"}
IN_ENVIRONMENT = {
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "test-env-id",
    "AWS_SECRET_ACCESS_KEY": "test-secret",
}


async def test_a_bearer_token_takes_the_place_of_a_signature(upstream, http):
    upstream.handler = KIND.respond
    await (await KIND.provider(upstream, http)).chat(ask(), MODEL)
    request = upstream.requests[0]
    assert request.path == "/model/eu.anthropic.claude-sonnet-4-5-20250929-v1%3A0/converse"
    assert request.headers["authorization"] == "Bearer test-key"


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("arn:aws:bedrock:x:1:inference-profile/a.b", "arn%3Aaws%3Abedrock%3Ax%3A1%3Ainference-profile%2Fa.b"),
        ("a/../b?c#d", "a%2F..%2Fb%3Fc%23d"),
    ],
)
async def test_a_model_is_one_step_of_the_path_whatever_it_is_called(upstream, http, model, path):
    upstream.handler = KIND.respond
    await (await KIND.provider(upstream, http)).chat(ask(), model)
    assert upstream.requests[0].path == f"/model/{path}/converse"


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
        ({"region": "x", "access_key_id": "test-key-id", "api_key": "test-key"}, {}, "keep one"),
        ({"region": "x", "api_key": "test-key", "base_url": "http://bedrock.example.test"}, {}, "https"),
    ],
)
def test_a_configuration_that_cannot_work_is_refused(http, config, environ, why):
    with pytest.raises(ValueError, match=why):
        BedrockProvider.from_config(ProviderConfig(name="b", kind="bedrock", **config), http, environ=environ)


@pytest.mark.parametrize(
    ("environ", "authorization"),
    [
        (IN_ENVIRONMENT, "AWS4-HMAC-SHA256 Credential=test-env-id/"),
        ({**IN_ENVIRONMENT, "AWS_BEARER_TOKEN_BEDROCK": "test-token"}, "Bearer test-token"),
    ],
)
async def test_keys_and_region_may_come_from_the_environment(upstream, http, environ, authorization):
    upstream.handler = KIND.respond
    config = ProviderConfig(name="b", kind="bedrock", base_url=upstream.url)
    await BedrockProvider.from_config(config, http, environ=environ).chat(ask(), "m")
    assert upstream.requests[0].headers["authorization"].startswith(authorization)


async def test_several_tokens_take_turns(upstream, http):
    upstream.handler = KIND.respond
    bedrock = await KIND.provider(upstream, http, api_key=None, api_keys=("test-one", "test-two"))
    for _ in range(3):
        await bedrock.chat(ask(), MODEL)
    used = [request.headers["authorization"] for request in upstream.requests]
    assert used == ["Bearer test-one", "Bearer test-two", "Bearer test-one"]


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


async def test_a_list_of_profiles_that_never_ends_is_left(upstream, http):
    upstream.script(Answer.json(b"{}"))
    upstream.default = Answer.json(b'{"inferenceProfileSummaries":[{"inferenceProfileId":"a"}],"nextToken":"again"}')
    assert len(await (await KIND.provider(upstream, http)).list_models()) == 20


async def test_a_probe_asks_for_one_profile(upstream, http):
    upstream.default = Answer.json(b"{}")
    await (await KIND.provider(upstream, http)).probe()
    assert [request.path for request in upstream.requests] == ["/inference-profiles?maxResults=1"]


async def test_vectors_come_with_the_count_that_a_header_tells(upstream, http):
    headers = {"x-amzn-bedrock-input-token-count": "5"}
    upstream.script(Answer.json(b'{"embeddings":[[1,2]]}', headers=headers))
    request = EmbedRequest("m", (TextPart(text="a"),))
    bedrock = await KIND.provider(upstream, http, **STATIC)
    response = await bedrock.embed(request, "cohere.embed-english-v3")
    assert [list(vector) for vector in response.vectors] == [[1, 2]]
    assert response.usage is not None
    assert response.usage.input_tokens == 5
    asked = upstream.requests[0]
    assert asked.path == "/model/cohere.embed-english-v3/invoke"
    assert asked.headers["authorization"].startswith("AWS4-HMAC-SHA256")
    with pytest.raises(CapabilityNotSupported):
        await bedrock.embed(request, MODEL)


async def test_tokens_are_counted_by_the_model_that_a_profile_leads_to(upstream, http):
    upstream.handler = KIND.respond
    await (await KIND.provider(upstream, http)).count_tokens(ask(), MODEL)
    assert upstream.requests[0].path == "/model/anthropic.claude-sonnet-4-5-20250929-v1%3A0/count-tokens"


@pytest.mark.parametrize(
    "message", ["The provided model doesn't support counting tokens.", "The provided model identifier is invalid."]
)
async def test_a_model_whose_tokens_bedrock_does_not_count_is_left_to_an_estimate(upstream, http, message):
    headers = {"x-amzn-errortype": "ValidationException"}
    upstream.script(Answer.json(f'{{"message":"{message}"}}'.encode(), status=400, headers=headers))
    with pytest.raises(CapabilityNotSupported):
        await (await KIND.provider(upstream, http)).count_tokens(ask(), MODEL)


@pytest.mark.parametrize("body", [b"{}", b'{"inputTokens":"x"}', b'{"inputTokens":null}', b"x"])
async def test_a_count_that_is_none_is_an_error(upstream, http, body):
    upstream.script(Answer.json(body))
    with pytest.raises(UpstreamProtocolError):
        await (await KIND.provider(upstream, http)).count_tokens(ask(), MODEL)


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


@pytest.mark.parametrize(
    ("event", "error"),
    [
        (frame("serviceUnavailableException", b'{"message":"no"}', message_type="exception"), UpstreamOverloaded),
        (
            frame("modelStreamErrorException", b'{"originalStatusCode":500}', message_type="exception"),
            UpstreamServerError,
        ),
        (frame("newException", b"", message_type="exception"), UpstreamServerError),
        (frame("newException", b"\xff", message_type="exception"), UpstreamServerError),
        (frame("InternalFailure", b"", message_type="error"), UpstreamServerError),
    ],
)
async def test_what_is_no_event_breaks_the_stream_off(upstream, http, event, error):
    said = KIND.stream(["One"], None)[:2]
    upstream.script(KIND.streaming([*said, event]))
    batches = []
    with pytest.raises(error):
        async for batch in (await KIND.provider(upstream, http)).stream(ask(), "m"):
            batches += batch
    assert batches[-1].text == "One"


async def test_an_error_without_a_payload_is_told_by_its_headers(upstream, http):
    event = frame("ThrottlingException", b"", message_type="error", more={":error-message": "Slow down."})
    upstream.script(KIND.streaming([event]))
    with pytest.raises(UpstreamRateLimited) as caught:
        await collected((await KIND.provider(upstream, http)).stream(ask(), "m"))
    assert caught.value.fault.message == "Slow down."


@pytest.mark.parametrize(("texts", "error"), [(["One", " two"], UpstreamStreamBroken), ([], UpstreamProtocolError)])
async def test_half_a_frame_at_the_end_completes_nothing(upstream, http, texts, error):
    *frames, stop, _ = KIND.stream(texts, None)
    upstream.script(KIND.streaming([b"".join(frames) + stop[:-1]]))
    with pytest.raises(error):
        await collected((await KIND.provider(upstream, http)).stream(ask(), "m"))


async def test_a_message_that_ends_without_a_reason_has_ended_all_the_same(upstream, http):
    text, end = KIND.stream(["One"], ("5", "7"))[1], frame("messageStop", b"{}")
    upstream.script(KIND.streaming([text, end]))
    (candidate,) = assembled(await collected((await KIND.provider(upstream, http)).stream(ask(), "m"))).candidates
    assert candidate.raw_finish_reason == ""
    assert candidate.message.parts == (TextPart(text="One"),)


@pytest.mark.parametrize("delta", [b'{"image":{"source":{"bytes":"?"}}}'])
async def test_a_picture_that_is_no_base64_is_an_error(upstream, http, delta):
    start = frame("contentBlockStart", b'{"contentBlockIndex":0,"start":{"image":{"format":"png"}}}')
    piece = frame("contentBlockDelta", b'{"contentBlockIndex":0,"delta":%b}' % delta)
    upstream.script(KIND.streaming([start, piece, frame("messageStop", b'{"stopReason":"end_turn"}')]))
    with pytest.raises(UpstreamProtocolError):
        await collected((await KIND.provider(upstream, http)).stream(ask(), "m"))


def streamed(*blocks: tuple[int, Any, list[Any]]) -> bytes:
    """A stream of blocks: each its number, its head (None for none) and its deltas."""
    frames = []
    for index, head, deltas in blocks:
        if head is not None:
            frames.append(("contentBlockStart", {"contentBlockIndex": index, "start": head}))
        frames += [("contentBlockDelta", {"contentBlockIndex": index, "delta": delta}) for delta in deltas]
        frames.append(("contentBlockStop", {"contentBlockIndex": index}))
    frames.append(("messageStop", {"stopReason": "end_turn"}))
    return b"".join(frame(name, json.dumps(payload).encode()) for name, payload in frames)


@pytest.mark.parametrize(
    ("block", "parts"),
    [
        ((0, {"future": {}}, [{"future": 1}, None]), ()),
        ((0, {}, [{}, {"toolUse": {"input": "{}"}}, {"image": {}}]), ()),
        ((0, {"image": {"format": "png"}}, [{"image": {}}, {"image": {"source": {"s3Location": {}}}}]), ()),
        ((0, None, [{"reasoningContent": {}}, {"toolUse": {"input": "{}"}}]), ()),
        (
            (0, {"toolResult": {"toolUseId": "a"}}, [{"toolResult": 3}, {"toolResult": [1]}, {"text": None}]),
            (OpaquePart(provider_kind="bedrock", type="toolResult", value={"toolUseId": "a", "content": []}),),
        ),
        (
            (
                0,
                {"toolUse": {"toolUseId": "a", "type": "server_tool_use"}},
                [{"toolUse": {}}, {"toolUse": {"input": "x"}}],
            ),
            (
                OpaquePart(
                    provider_kind="bedrock",
                    type="toolUse",
                    value={
                        "toolUseId": "a",
                        "name": None,
                        "type": "server_tool_use",
                        "input": {"INVALID_JSON": "x"},
                    },
                ),
            ),
        ),
        (
            (0, {"toolUse": {"toolUseId": "a", "name": "f"}}, [{"reasoningContent": {"text": "?"}}]),
            (ToolCallPart(id="a", name="f", arguments_json="{}"),),
        ),
    ],
)
async def test_what_does_not_belong_to_a_block_is_passed_over(upstream, http, block, parts):
    upstream.script(KIND.streaming([streamed(block)]))
    (candidate,) = assembled(await collected((await KIND.provider(upstream, http)).stream(ask(), "m"))).candidates
    assert candidate.message.parts == parts


@pytest.mark.parametrize("shown", [True, False])
@pytest.mark.parametrize(
    ("pieces", "seen", "hidden"),
    [
        ([{"text": "Hm."}, {"signature": "s"}], [("Hm.", b"s:s")], [("", hidden_token("Hm.", "s"))]),
        ([{"text": "Hm."}], [("Hm.", b"")], []),
        ([{"signature": "s"}], [("", hidden_token("", "s"))], [("", hidden_token("", "s"))]),
        ([{"redactedContent": "eA=="}], [("", b"r:eA==")], [("", b"r:eA==")]),
    ],
)
async def test_thinking_is_told_alike_in_one_piece_and_as_a_stream(upstream, http, shown, pieces, seen, hidden):
    whole: dict[str, Any] = {}
    for piece in pieces:
        whole |= piece if "redactedContent" in piece else {"reasoningText": {**whole.get("reasoningText", {}), **piece}}
    message = {"message": {"role": "assistant", "content": [{"reasoningContent": whole}]}}
    upstream.script(
        KIND.streaming([streamed((0, None, [{"reasoningContent": piece} for piece in pieces]))]),
        Answer.json(json.dumps({"output": message, "stopReason": "end_turn"}).encode()),
    )
    bedrock = await KIND.provider(upstream, http)
    request = ask(generation=GenerationConfig(reasoning=ReasoningConfig(include=shown)))
    in_pieces = assembled(await collected(bedrock.stream(request, "m"))).candidates[0]
    at_once = (await bedrock.chat(request, "m")).candidates[0]
    assert in_pieces == at_once
    told = [(part.text, part.continuity_token) for part in at_once.message.parts if isinstance(part, ReasoningPart)]
    assert told == (seen if shown else hidden)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b'{"message":"Too many requests","__type":"ThrottlingException"}', UpstreamRateLimited),
        (b'{"Message":"It broke."}', UpstreamServerError),
        (b"{}", UpstreamProtocolError),
        (b'{"output":{},"stopReason":"end_turn"}', UpstreamProtocolError),
        (b'{"output":{"message":{"content":[]}}}', UpstreamProtocolError),
    ],
)
async def test_what_is_no_whole_answer_is_an_error(upstream, http, body, error):
    upstream.script(Answer.json(body))
    with pytest.raises(error):
        await (await KIND.provider(upstream, http)).chat(ask(), MODEL)


async def test_counts_of_models_of_other_makers_are_left_to_an_estimate(upstream, http):
    with pytest.raises(CapabilityNotSupported):
        await (await KIND.provider(upstream, http)).count_tokens(ask(), "amazon.nova-pro-v1:0")
    assert upstream.requests == []


async def test_a_source_before_its_text_belongs_to_it_and_not_to_the_call_before(upstream, http):
    call = (0, {"toolUse": {"toolUseId": "a", "name": "f"}}, [])
    upstream.script(KIND.streaming([streamed(call, (1, None, [{"citation": {"title": "T"}}, {"text": "So."}]))]))
    (candidate,) = assembled(await collected((await KIND.provider(upstream, http)).stream(ask(), "m"))).candidates
    assert [citation.title for citation in candidate.message.parts[1].citations] == ["T"]


async def test_a_garbled_frame_ends_the_stream(upstream, http):
    body = bytearray(b"".join(KIND.stream(["One", " two"], None)))
    body[-30] ^= 1
    upstream.script(KIND.streaming([bytes(body)]))
    with pytest.raises(UpstreamProtocolError):
        await collected((await KIND.provider(upstream, http)).stream(ask(), "m"))


@pytest.mark.parametrize("shown", [True, False])
async def test_a_tool_loop_sends_the_thinking_back_as_it_came(upstream, http, shown):
    config = GenerationConfig(reasoning=ReasoningConfig(budget_tokens=2000, include=shown))
    request = ask(tools=(FunctionTool("weather"), FunctionTool("now")), generation=config)
    bedrock = await KIND.provider(upstream, http)
    golden = GOLDEN / "bedrock" / "thinking_and_parallel_tools.bin"
    upstream.script(KIND.streaming([golden.read_bytes()]), Answer.json(KIND.answer("Done.")))
    said = assembled(await collected(bedrock.stream(request, MODEL))).candidates[0].message
    results = tuple(ToolResultPart(tool_call_id=f"tooluse_{n}", content=(TextPart(text="42"),)) for n in (1, 2))
    second = replace(request, messages=(*request.messages, said, Message(Role.TOOL, results)))
    await bedrock.chat(bedrock.adapt(second, MODEL).request, MODEL)
    assert upstream.requests[-1].json()["messages"][1]["content"][:2] == [
        {"reasoningContent": {"reasoningText": {"text": "Let me look.", "signature": "EqQBCg=="}}},
        {"reasoningContent": {"redactedContent": "ErUBxyz="}},
    ]
