"""The kind anthropic over a real connection: what it sends beside the body, lists, counts, and a tool loop."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from llmproxy_grpc.config.schema import ProviderConfig
from llmproxy_grpc.errors import (
    ContextLengthExceeded,
    CredentialsRejected,
    InvalidRequest,
    ModelNotFound,
    UpstreamOverloaded,
    UpstreamProtocolError,
    UpstreamQuotaExhausted,
    UpstreamRateLimited,
    UpstreamServerError,
)
from llmproxy_grpc.messages import (
    FunctionTool,
    GenerationConfig,
    Message,
    ReasoningConfig,
    ReasoningEffort,
    Role,
    TextPart,
    ToolResultPart,
)
from llmproxy_grpc.providers.anthropic import AnthropicProvider
from tests.fakes.faulty_upstream import Answer
from tests.providers.conversations import ask, assembled, collected
from tests.providers.kinds.anthropic import KIND
from tests.providers.test_golden import GOLDEN

SAID = [
    {"type": "thinking", "thinking": "Let me look.", "signature": "EqQBCg=="},
    {"type": "redacted_thinking", "data": "ErUB+xyz"},
    {"type": "text", "text": "I'll check."},
    {"type": "tool_use", "id": "toolu_01", "name": "weather", "input": {"city": "Paris", "n": 9007199254740993}},
    {"type": "tool_use", "id": "toolu_02", "name": "now", "input": {}},
]
"""What the golden stream says, as blocks."""

THINKING = GOLDEN / "anthropic" / "thinking_and_parallel_tools.sse"


async def provider(upstream, http, **config):
    return await KIND.provider(upstream, http, **config)


async def test_a_key_goes_into_the_apis_own_header(upstream, http):
    upstream.script(Answer.json(KIND.answer("x")), Answer.json(KIND.answer("x")))
    usual = await provider(upstream, http)
    await usual.chat(ask(), "m")
    headers = upstream.requests[0].headers
    assert (upstream.requests[0].path, headers["x-api-key"]) == ("/v1/messages", "test-key")
    assert headers["anthropic-version"] == "2023-06-01"
    special = await provider(
        upstream,
        http,
        api_key=None,
        api_version="2026-10-21",
        headers={"Authorization": "Bearer test-token", "anthropic-beta": "files-api-2025-04-14"},
    )
    await special.chat(ask(), "m")
    headers = upstream.requests[1].headers
    assert (headers["authorization"], headers["anthropic-version"]) == ("Bearer test-token", "2026-10-21")
    assert headers["anthropic-beta"] == "files-api-2025-04-14"
    assert "x-api-key" not in headers


async def test_keys_take_turns(upstream, http):
    upstream.default = Answer.json(KIND.answer("x"))
    several = await provider(upstream, http, api_key=None, api_keys=["test-key-1", "test-key-2"])
    for _ in range(3):
        await several.chat(ask(), "m")
    assert [request.headers["x-api-key"][-1] for request in upstream.requests] == ["1", "2", "1"]


def test_anthropics_own_address_wants_a_key(http):
    with pytest.raises(ValueError, match="needs an api_key"):
        AnthropicProvider.from_config(ProviderConfig(name="claude", kind="anthropic"), http)


async def test_a_list_of_models_is_read_page_by_page(upstream, http):
    upstream.script(
        Answer.json(b'{"data":[{"id":"a"}],"has_more":true,"last_id":"a b"}'),
        Answer.json(b'{"data":[{"id":"b"}],"has_more":false,"last_id":"b"}'),
    )
    models = await (await provider(upstream, http)).list_models()
    assert [model.name for model in models] == ["a", "b"]
    assert [request.path for request in upstream.requests] == [
        "/v1/models?limit=1000",
        "/v1/models?limit=1000&after_id=a%20b",
    ]


async def test_a_list_that_never_ends_is_read_for_a_while_only(upstream, http):
    upstream.default = Answer.json(b'{"data":[{"id":"a"}],"has_more":true,"last_id":"a"}')
    await (await provider(upstream, http)).list_models()
    assert len(upstream.requests) == 20


async def test_tokens_are_counted_by_the_provider(upstream, http):
    upstream.script(Answer.json(b'{"input_tokens": 14}'), Answer.json(b"{}"))
    counting = await provider(upstream, http)
    assert await counting.count_tokens(ask(), "m") == 14
    assert upstream.requests[0].path == "/v1/messages/count_tokens"
    assert upstream.requests[0].json().keys() == {"model", "messages"}
    with pytest.raises(UpstreamProtocolError):
        await counting.count_tokens(ask(), "m")


@pytest.mark.parametrize("shown", [True, False])
@pytest.mark.parametrize("streamed", [True, False])
async def test_a_tool_loop_sends_the_thinking_back_as_it_came(upstream, http, shown, streamed):
    model = "claude-haiku-4-5"
    config = GenerationConfig(reasoning=ReasoningConfig(ReasoningEffort.HIGH, include=shown))
    asking = await provider(upstream, http)
    request = ask(tools=(FunctionTool("weather"), FunctionTool("now")), generation=config)
    if streamed:
        upstream.script(KIND.streaming([THINKING.read_bytes()]))
        first = assembled(await collected(asking.stream(request, model)))
    else:
        upstream.script(Answer.json(json.dumps({"content": SAID, "stop_reason": "tool_use"}).encode()))
        first = await asking.chat(request, model)
    said = first.candidates[0].message
    assert ("Let me look." in [getattr(part, "text", "") for part in said.parts]) == shown
    results = tuple(ToolResultPart(tool_call_id=f"toolu_0{n}", content=(TextPart(text="42"),)) for n in (1, 2))
    second = ask(
        messages=(*request.messages, said, Message(Role.TOOL, results)), tools=request.tools, generation=config
    )
    adapted = asking.adapt(second, model)
    assert (adapted.unsupported, adapted.changes) == ((), ())
    upstream.script(Answer.json(KIND.answer("Done.")))
    await asking.chat(adapted.request, model)
    sent = upstream.requests[-1].json()
    assert sent["thinking"]["type"] == "enabled"
    assert sent["messages"][1] == {"role": "assistant", "content": SAID}
    assert [block["tool_use_id"] for block in sent["messages"][2]["content"]] == ["toolu_01", "toolu_02"]


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (
            400,
            {"type": "invalid_request_error", "message": "prompt is too long: 9 tokens > 8 maximum"},
            ContextLengthExceeded,
        ),
        (400, {"type": "invalid_request_error", "message": "Your credit balance is too low"}, UpstreamQuotaExhausted),
        (401, {"type": "authentication_error", "message": "invalid x-api-key"}, CredentialsRejected),
        (403, {"type": "permission_error", "message": "no"}, CredentialsRejected),
        (404, {"type": "not_found_error", "message": "model: claude-0"}, ModelNotFound),
        (413, {"type": "request_too_large", "message": "Request exceeds the maximum size"}, InvalidRequest),
        (500, {"type": "api_error", "message": "Internal server error"}, UpstreamServerError),
        (504, {"type": "timeout_error", "message": "Timed out"}, UpstreamServerError),
        (402, {"type": "billing_error", "message": "pay"}, UpstreamQuotaExhausted),
        (429, {"type": "rate_limit_error", "message": "slow"}, UpstreamRateLimited),
        (529, {"type": "overloaded_error", "message": "Overloaded"}, UpstreamOverloaded),
    ],
)
async def test_errors_by_their_types(upstream, http, status, error, kind):
    body = json.dumps({"type": "error", "error": error, "request_id": "req_1"}).encode()
    upstream.script(Answer.json(body, status=status, headers={"retry-after": "7"}))
    with pytest.raises(kind) as caught:
        await (await provider(upstream, http)).chat(ask(), "m")
    assert type(caught.value) is kind
    assert caught.value.fault.request_id == "req_1"
    if kind in {UpstreamRateLimited, UpstreamOverloaded}:
        assert caught.value.retry_after == 7


async def test_a_rate_limit_says_when_it_ends_and_whose_request_it_was(upstream, http):
    body = b'{"type":"error","error":{"type":"rate_limit_error","message":"slow"}}'
    reset = (datetime.now(UTC) + timedelta(seconds=90)).isoformat(timespec="seconds").replace("+00:00", "Z")
    headers = {
        "request-id": "req_7",
        "anthropic-ratelimit-requests-remaining": "0",
        "anthropic-ratelimit-requests-reset": reset,
        "anthropic-ratelimit-input-tokens-remaining": "5",
        "anthropic-ratelimit-input-tokens-reset": "2000-01-01T00:00:00Z",
    }
    upstream.script(Answer.json(body, status=429, headers=headers))
    with pytest.raises(UpstreamRateLimited) as caught:
        await (await provider(upstream, http)).chat(ask(), "m")
    assert 60 < caught.value.retry_after <= 90
    assert caught.value.fault.request_id == "req_7"


@pytest.mark.parametrize("shown", [True, False])
async def test_what_a_search_found_goes_back_as_it_came(upstream, http, shown):
    searching = await provider(upstream, http)
    request = ask(generation=GenerationConfig(reasoning=ReasoningConfig(include=shown)))
    upstream.script(KIND.streaming([(GOLDEN / "anthropic" / "web_search_with_citations.sse").read_bytes()]))
    paused = assembled(await collected(searching.stream(request, "m"))).candidates[0].message
    upstream.script(Answer.json(KIND.answer("Done.")))
    adapted = searching.adapt(ask(messages=(*request.messages, paused)), "m")
    assert adapted.unsupported == ()
    await searching.chat(adapted.request, "m")
    search, found, text = upstream.requests[-1].json()["messages"][1]["content"]
    assert search == {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "x"}}
    assert (found["type"], found["content"][0]["encrypted_content"]) == ("web_search_tool_result", "Eo8B")
    assert text["citations"][0]["encrypted_index"] == "Eo8B"
