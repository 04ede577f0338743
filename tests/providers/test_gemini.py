"""The kind gemini over a real connection: addresses, tokens, lists, counts, vectors, and a tool loop."""

import json

import pytest

from llmproxy_grpc.config.schema import ProviderConfig
from llmproxy_grpc.errors import (
    CapabilityNotSupported,
    CredentialsRejected,
    PromptBlocked,
    UpstreamProtocolError,
    UpstreamQuotaExhausted,
    UpstreamRateLimited,
)
from llmproxy_grpc.messages import (
    EmbedRequest,
    FunctionTool,
    GenerationConfig,
    Message,
    ReasoningConfig,
    Role,
    TextPart,
    ToolResultPart,
)
from llmproxy_grpc.providers.expiring import Expiring
from llmproxy_grpc.providers.gemini import GeminiProvider
from llmproxy_grpc.providers.generate_content.wire import GenerateContent, vertex
from llmproxy_grpc.providers.upstream import Upstream
from tests.fakes.faulty_upstream import Answer
from tests.providers.conversations import ask, assembled, collected
from tests.providers.kinds.gemini import KIND
from tests.providers.test_golden import GOLDEN

CALLS = GOLDEN / "gemini" / "thinking_and_parallel_calls.sse"


async def test_a_key_goes_into_a_header_and_the_model_into_the_path(upstream, http):
    upstream.default = Answer.json(KIND.answer("x"))
    gemini = await KIND.provider(upstream, http)
    await gemini.chat(ask(), "models/gemini-3-pro")
    await gemini.chat(ask(), "../../v1/secrets?x=")
    paths = [request.path for request in upstream.requests]
    assert paths[0] == "/v1beta/models/gemini-3-pro:generateContent"
    assert paths[1] == "/v1beta/models/..%2F..%2Fv1%2Fsecrets%3Fx%3D:generateContent"
    assert upstream.requests[0].headers["x-goog-api-key"] == "test-key"


async def test_vertex_has_its_own_places_and_fresh_tokens(upstream, http):
    ends = iter((1000.0, 9000.0))
    now = [0.0]
    tokens = Expiring(lambda: (f"test-token-{int(end := next(ends))}", end), now=lambda: now[0])
    wire = GenerateContent(Upstream(http, upstream.url, token=tokens), vertex("my project", "europe-west4"))
    provider = GeminiProvider("vertex", wire)
    home = "/v1/projects/my%20project/locations/europe-west4/publishers/google/models"
    upstream.script(
        Answer.json(KIND.answer("x")),
        Answer.json(b'{"totalTokens": 3}'),
        Answer.json(b'{"predictions":[{"embeddings":{"values":[1,2],"statistics":{"token_count":4}}}]}'),
        Answer.json(b'{"publisherModels":[{"name":"publishers/google/models/gemini-3-pro"}]}'),
    )
    await provider.chat(ask(), "gemini-3-pro")
    now[0] = 800.0  # five minutes before its end a token is fetched anew
    assert await provider.count_tokens(ask(), "gemini-3-pro") == 3
    embedded = await provider.embed(EmbedRequest("m", (TextPart(text="a"),)), "text-embedding-005")
    assert (list(embedded.vectors[0]), embedded.usage.input_tokens) == ([1, 2], 4)
    assert [model.name for model in await provider.list_models()] == ["gemini-3-pro"]
    assert [request.path for request in upstream.requests] == [
        f"{home}/gemini-3-pro:generateContent",
        f"{home}/gemini-3-pro:countTokens",
        f"{home}/text-embedding-005:predict",
        "/v1beta1/publishers/google/models?pageSize=1000",
    ]
    sent = [request.headers["authorization"] for request in upstream.requests]
    assert sent == ["Bearer test-token-1000", *["Bearer test-token-9000"] * 3]


async def test_a_token_that_the_provider_repeats_is_in_no_error(upstream, http):
    tokens = Expiring(lambda: ("test-token-fresh", 1e12))
    provider = GeminiProvider(
        "vertex", GenerateContent(Upstream(http, upstream.url, token=tokens), vertex("p", "global"))
    )
    upstream.script(
        Answer.json(b'{"error":{"message":"bad test-token-fresh","status":"INVALID_ARGUMENT"}}', status=400)
    )
    with pytest.raises(Exception, match="rejects") as caught:
        await provider.chat(ask(), "m")
    assert "test-token-fresh" not in repr(caught.value.fault)


async def test_without_a_token_to_be_had_the_credential_is_rejected(upstream, http):
    def fail():
        raise OSError("no metadata server")

    wire = GenerateContent(Upstream(http, upstream.url, token=Expiring(fail)), vertex("p", "global"))
    with pytest.raises(CredentialsRejected):
        await GeminiProvider("vertex", wire).chat(ask(), "m")
    assert upstream.requests == []


@pytest.mark.parametrize("config", [{}, {"location": "us-central1", "api_key": "test-key"}])
def test_a_configuration_that_cannot_work_is_refused(http, config):
    with pytest.raises(ValueError, match=r"api_key|location"):
        GeminiProvider.from_config(ProviderConfig(name="g", kind="gemini", **config), http)


async def test_lists_are_read_page_by_page(upstream, http):
    upstream.script(
        Answer.json(
            b'{"models":[{"name":"models/gemini-3-pro","inputTokenLimit":1048576,"outputTokenLimit":65536,'
            b'"supportedGenerationMethods":["generateContent","countTokens"],"thinking":true}],"nextPageToken":"n/2"}'
        ),
        Answer.json(
            b'{"models":[{"name":"models/gemini-embedding-001","supportedGenerationMethods":["embedContent"]}]}'
        ),
    )
    pro, embedding = await (await KIND.provider(upstream, http)).list_models()
    assert (pro.name, pro.max_input_tokens, pro.max_output_tokens) == ("gemini-3-pro", 1048576, 65536)
    assert sorted(capability.name for capability in pro.capabilities) == [
        "CHAT",
        "COUNT_TOKENS",
        "JSON_SCHEMA",
        "REASONING",
        "TOOLS",
    ]
    assert [capability.name for capability in embedding.capabilities] == ["EMBED"]
    assert upstream.requests[1].path == "/v1beta/models?pageSize=1000&pageToken=n%2F2"


async def test_vectors_come_from_models_that_make_them(upstream, http):
    gemini = await KIND.provider(upstream, http)
    request = EmbedRequest("m", (TextPart(text="a"), TextPart(text="bb")))
    with pytest.raises(CapabilityNotSupported):
        await gemini.embed(request, "gemini-3-pro")
    upstream.handler = KIND.respond
    response = await gemini.embed(request, "gemini-embedding-001")
    assert [list(vector) for vector in response.vectors] == [[1, 0.5], [2, 0.5]]
    upstream.script(Answer.json(b'{"embeddings":[]}'))
    with pytest.raises(UpstreamProtocolError):
        await gemini.embed(request, "gemini-embedding-001")


@pytest.mark.parametrize("stream", [False, True])
async def test_a_blocked_prompt_is_told_apart(upstream, http, stream):
    body = b'{"promptFeedback":{"blockReason":"PROHIBITED_CONTENT"},"usageMetadata":{"promptTokenCount":4}}'
    gemini = await KIND.provider(upstream, http)
    upstream.script(KIND.streaming([b"data: " + body + b"\r\n\r\n"]) if stream else Answer.json(body))
    with pytest.raises(PromptBlocked) as caught:
        await (collected(gemini.stream(ask(), "m")) if stream else gemini.chat(ask(), "m"))
    assert caught.value.metadata == {"category": "PROHIBITED_CONTENT"}


@pytest.mark.parametrize("shown", [True, False])
async def test_a_tool_loop_sends_signatures_and_ids_back_as_they_came(upstream, http, shown):
    config = GenerationConfig(reasoning=ReasoningConfig(include=shown))
    request = ask(tools=(FunctionTool("weather"), FunctionTool("now")), generation=config)
    gemini = await KIND.provider(upstream, http)
    upstream.script(KIND.streaming([CALLS.read_bytes()]), Answer.json(KIND.answer("Done.")))
    said = assembled(await collected(gemini.stream(request, "gemini-3-pro"))).candidates[0].message
    assert ("Let me look." in [getattr(part, "text", "") for part in said.parts]) == shown
    calls = said.parts[-2:]
    results = tuple(ToolResultPart(tool_call_id=call.id, content=(TextPart(text="42"),)) for call in calls)
    second = ask(messages=(*request.messages, said, Message(Role.TOOL, results)), tools=request.tools)
    await gemini.chat(gemini.adapt(second, "gemini-3-pro").request, "gemini-3-pro")
    _, model, user = upstream.requests[-1].json()["contents"]
    arguments = {"city": "Paris", "n": 9007199254740993, "x": 1.0}
    assert model["parts"] == [
        {"functionCall": {"id": "fc1", "name": "weather", "args": arguments}, "thoughtSignature": "CiQB"},
        {"functionCall": {"name": "now", "args": {}}},
    ]
    assert user["parts"] == [
        {"functionResponse": {"id": "fc1", "name": "weather", "response": {"result": "42"}}},
        {"functionResponse": {"name": "now", "response": {"result": "42"}}},
    ]


@pytest.mark.parametrize(
    ("status", "error", "kind", "wait"),
    [
        (
            429,
            {
                "code": 429,
                "status": "RESOURCE_EXHAUSTED",
                "message": "Quota exceeded",
                "details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "22s"}],
            },
            UpstreamRateLimited,
            22,
        ),
        (
            429,
            {
                "code": 429,
                "status": "RESOURCE_EXHAUSTED",
                "details": [
                    {
                        "@type": "type.googleapis.com/google.rpc.QuotaFailure",
                        "violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}],
                    }
                ],
            },
            UpstreamQuotaExhausted,
            None,
        ),
        (
            400,
            {"code": 400, "status": "INVALID_ARGUMENT", "details": [{"reason": "API_KEY_INVALID"}]},
            CredentialsRejected,
            None,
        ),
    ],
)
async def test_errors_by_their_details(upstream, http, status, error, kind, wait):
    for body in ({"error": error}, [{"error": error}]):
        upstream.script(Answer.json(json.dumps(body).encode(), status=status))
        with pytest.raises(kind) as caught:
            await (await KIND.provider(upstream, http)).chat(ask(), "m")
        assert caught.value.retry_after == wait
