"""The kind gemini over a real connection: addresses, tokens, lists, counts, vectors, and a tool loop."""

import json
import sys

import pytest

from llmproxy_grpc.config.schema import ProviderConfig
from llmproxy_grpc.errors import (
    CapabilityNotSupported,
    CredentialsRejected,
    PromptBlocked,
    UpstreamOverloaded,
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
    TextDelta,
    TextPart,
    ToolResultPart,
    UsageSoFar,
)
from llmproxy_grpc.providers.expiring import Expiring
from llmproxy_grpc.providers.gemini import GeminiProvider
from llmproxy_grpc.providers.generate_content.place import studio, vertex, vertex_address
from llmproxy_grpc.providers.generate_content.wire import GenerateContent
from llmproxy_grpc.providers.upstream import Upstream
from tests.fakes.faulty_upstream import Answer
from tests.providers.conversations import ask, assembled, collect, collected
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
        Answer.json(
            b'{"publisherModels":[{"name":"publishers/google/models/gemini-3-pro"},{"name":"publishers/google/models/bert"}]}'
        ),
    )
    await provider.chat(ask(), "gemini-3-pro")
    now[0] = 800.0  # five minutes before its end a token is fetched anew
    assert await provider.count_tokens(ask(), "gemini-3-pro") == 3
    embedded = await provider.embed(EmbedRequest("m", (TextPart(text="a"),)), "text-embedding-005")
    assert (list(embedded.vectors[0]), embedded.usage.input_tokens) == ([1, 2], 4)
    assert [model.name for model in await provider.list_models()] == ["gemini-3-pro"]
    upstream.script(Answer.json(b'{"embeddings":[{"values":[3,4]}]}'))
    embedded = await provider.embed(EmbedRequest("m", (TextPart(text="a"),)), "gemini-embedding-001")
    assert list(embedded.vectors[0]) == [3, 4]
    assert [request.path for request in upstream.requests] == [
        f"{home}/gemini-3-pro:generateContent",
        f"{home}/gemini-3-pro:countTokens",
        f"{home}/text-embedding-005:predict",
        "/v1beta1/publishers/google/models?pageSize=1000",
        f"{home}/gemini-embedding-001:batchEmbedContents",
    ]
    sent = [request.headers["authorization"] for request in upstream.requests]
    assert sent == ["Bearer test-token-1000", *["Bearer test-token-9000"] * 4]


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


@pytest.mark.parametrize(
    ("config", "fault"),
    [
        ({}, "needs an api_key"),
        ({"location": "us-central1"}, "needs a project, or an api_key"),
        ({"project": "p", "location": "example.test/", "api_key": "test-key"}, "location must be"),
    ],
)
def test_a_configuration_that_cannot_work_is_refused(http, config, fault):
    with pytest.raises(ValueError, match=fault):
        GeminiProvider.from_config(ProviderConfig(name="g", kind="gemini", **config), http)


def test_google_clouds_credentials_need_their_extra(http, monkeypatch):
    monkeypatch.setitem(sys.modules, "google.auth", None)
    with pytest.raises(ValueError, match="need the extra `vertex`"):
        GeminiProvider.from_config(ProviderConfig(name="g", kind="gemini", project="p"), http)
    assert GeminiProvider.from_config(ProviderConfig(name="g", kind="gemini", project="p", api_key="test-key"), http)


@pytest.mark.parametrize(
    ("location", "address"),
    [
        ("global", "https://aiplatform.googleapis.com"),
        ("europe-west4", "https://europe-west4-aiplatform.googleapis.com"),
        ("eu", "https://aiplatform.eu.rep.googleapis.com"),
    ],
)
def test_the_host_of_a_location(location, address):
    assert vertex_address(location) == address


@pytest.mark.parametrize(
    ("config", "model", "path"),
    [
        ({}, "models/m", "/v1beta/models/m"),
        ({"api_version": "v1"}, "m", "/v1/models/m"),
        ({"location": "global"}, "m", "/v1/publishers/google/models/m"),
        ({"project": "p"}, "publishers/google/models/m", "/v1/projects/p/locations/global/publishers/google/models/m"),
        ({"project": "p", "location": "eu"}, "endpoints/12", "/v1/projects/p/locations/eu/endpoints/12"),
        (
            {"project": "p", "api_version": "v1beta1"},
            "endpoints/../x",
            "/v1beta1/projects/p/locations/global/endpoints/..%2Fx",
        ),
        (
            {"project": "p"},
            "m:countTokens?",
            "/v1/projects/p/locations/global/publishers/google/models/m%3AcountTokens%3F",
        ),
    ],
)
async def test_where_a_model_answers(upstream, http, config, model, path):
    upstream.script(Answer.json(KIND.answer("x")))
    await (await KIND.provider(upstream, http, **config)).chat(ask(), model)
    assert upstream.requests[0].path == f"{path}:generateContent"
    assert upstream.requests[0].headers["x-goog-api-key"] == "test-key"


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
    body = (
        b'{"promptFeedback":{"blockReason":"PROHIBITED_CONTENT","blockReasonMessage":"No."},'
        b'"usageMetadata":{"promptTokenCount":4}}'
    )
    gemini = await KIND.provider(upstream, http)
    upstream.script(KIND.streaming([b"data: " + body + b"\r\n\r\n"]) if stream else Answer.json(body))
    events = []
    with pytest.raises(PromptBlocked) as caught:
        await (collect(gemini.stream(ask(), "m"), events) if stream else gemini.chat(ask(), "m"))
    assert caught.value.metadata == {"category": "PROHIBITED_CONTENT"}
    assert (caught.value.fault.code, caught.value.fault.message) == ("PROHIBITED_CONTENT", "No.")
    told = [event.usage.input_tokens for event in events if isinstance(event, UsageSoFar)]
    assert told == ([4] if stream else [])


async def test_feedback_that_blocks_nothing_is_no_error(upstream, http):
    body = json.loads(KIND.answer("x")) | {"promptFeedback": {"blockReason": "BLOCKED_REASON_UNSPECIFIED"}}
    empty = b'{"promptFeedback":{"safetyRatings":[]}}'
    upstream.script(Answer.json(json.dumps(body).encode()), Answer.json(empty))
    gemini = await KIND.provider(upstream, http)
    assert (await gemini.chat(ask(), "m")).candidates
    with pytest.raises(UpstreamProtocolError):
        await gemini.chat(ask(), "m")


async def test_an_error_that_breaks_off_a_stream_may_stand_bare(upstream, http):
    said = KIND.stream(["One"], None)[0]
    error = json.dumps({"error": {"code": 503, "message": "The model is overloaded."}}, indent=2).encode()
    gemini = await KIND.provider(upstream, http)
    for bare in (error, b"[" + error + b"]\r\n"):
        upstream.script(KIND.streaming([said, bare]))
        events = []
        with pytest.raises(UpstreamOverloaded):
            await collect(gemini.stream(ask(), "m"), events)
        assert [event.text for event in events if isinstance(event, TextDelta)] == ["One"]


async def test_arguments_in_pieces_are_never_taken_for_calls(upstream, http):
    parts = [
        {"functionCall": {"name": "f", "willContinue": True}},
        {"functionCall": {"partialArgs": [{"jsonPath": "$.a", "stringValue": "x"}]}},
    ]
    gemini = await KIND.provider(upstream, http)
    for part in parts:
        body = json.dumps({"candidates": [{"content": {"parts": [part]}, "finishReason": "STOP"}]}).encode()
        upstream.script(Answer.json(body))
        with pytest.raises(UpstreamProtocolError, match="pieces"):
            await gemini.chat(ask(), "m")


async def test_a_stream_that_goes_on_behind_its_finish_reason_is_read_to_its_end(upstream, http):
    path = GOLDEN / "gemini" / "finish_reason_in_every_chunk.sse"
    first, second, rest = path.read_bytes().split(b"\n\n", 2)
    upstream.script(KIND.streaming([first + b"\n\n", second + b"\n\n", 0.15, rest]))
    wire = GenerateContent(Upstream(http, upstream.url), studio(), tail_seconds=0.1)
    response = assembled(await collected(wire.stream(ask(), "golden-model")))
    assert response.candidates[0].message.parts == (TextPart(text="ABC"),)


async def test_what_is_told_beside_an_answer_comes_either_way(upstream, http):
    path = GOLDEN / "gemini" / "to_be_continued.sse"
    gemini = await KIND.provider(upstream, http)
    upstream.script(KIND.streaming([path.read_bytes()]), Answer.json((GOLDEN / "gemini" / "sound.json").read_bytes()))
    streamed = assembled(await collected(gemini.stream(ask(), "m")))
    assert streamed.provider_metadata == {
        "modelVersion": "golden-model",
        "responseId": "resp-1",
        "continuationToken": "abc=",
        "finishMessage": "more",
    }
    answered = await gemini.chat(ask(), "golden-model")
    assert answered.upstream_request_id == "resp-1"
    assert answered.provider_metadata == {"responseId": "resp-1", "avgLogprobs": -0.5, "trafficType": "ON_DEMAND"}


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
