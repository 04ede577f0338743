"""The kind openai: addresses, keys and headers, and what only it has."""

import json

import pytest

from llmproxy_grpc.config.schema import ProviderConfig
from llmproxy_grpc.errors import (
    CredentialsRejected,
    InvalidRequest,
    ModelNotFound,
    UpstreamProtocolError,
    UpstreamServerError,
)
from llmproxy_grpc.messages import (
    FunctionTool,
    GenerationConfig,
    Message,
    ReasoningConfig,
    ReasoningEffort,
    ReasoningPart,
    Role,
    TextPart,
    ToolResultPart,
    UpstreamStart,
)
from llmproxy_grpc.providers.openai import OpenAiProvider, preset_of
from tests.fakes.faulty_upstream import Answer, FaultyUpstream, Framing, openai_answer, openai_stream
from tests.providers.conversations import ask, assembled, collected
from tests.providers.http_kind import sse


def config(**fields: object) -> ProviderConfig:
    return ProviderConfig.model_validate({"name": "mine", "kind": "openai", **fields})


async def test_a_request_goes_to_the_address_with_the_key_and_the_headers(upstream, http):
    provider = OpenAiProvider.from_config(
        config(base_url=f"{upstream.url}/v1/", api_key="test-key", headers={"X-Team": "search"}), http
    )
    await provider.chat(ask("Hi"), "gpt-test")
    request = upstream.requests[0]
    assert (request.method, request.path) == ("POST", "/v1/chat/completions")
    assert request.headers["authorization"] == "Bearer test-key"
    assert request.headers["x-team"] == "search"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["accept-encoding"] == "identity"
    assert request.json() == {"model": "gpt-test", "messages": [{"role": "user", "content": "Hi"}]}


async def test_several_keys_take_turns(upstream, http):
    provider = OpenAiProvider.from_config(config(base_url=upstream.url, api_keys=["key-a", "key-b"]), http)
    for _ in range(3):
        await provider.chat(ask(), "m")
    keys = [request.headers["authorization"] for request in upstream.requests]
    assert keys == ["Bearer key-a", "Bearer key-b", "Bearer key-a"]


async def test_a_server_of_ones_own_needs_no_key(upstream, http):
    provider = OpenAiProvider.from_config(config(base_url=upstream.url), http)
    await provider.chat(ask(), "m")
    assert "authorization" not in upstream.requests[0].headers


async def test_a_configured_authorization_wins(upstream, http):
    provider = OpenAiProvider.from_config(
        config(base_url=upstream.url, api_key="test-key", headers={"Authorization": "Basic abc"}), http
    )
    await provider.chat(ask(), "m")
    assert upstream.requests[0].headers["authorization"] == "Basic abc"


async def test_a_redirect_is_not_followed_with_the_key(upstream, http):
    async with FaultyUpstream() as elsewhere:
        upstream.script(Answer.json(b"", status=307, headers={"location": elsewhere.url}))
        provider = OpenAiProvider.from_config(config(base_url=upstream.url, api_key="test-key"), http)
        with pytest.raises(UpstreamProtocolError):
            await provider.chat(ask(), "m")
        assert not elsewhere.requests


@pytest.mark.parametrize("preset", [None, "openai", "groq", "deepseek", "openrouter"])
async def test_a_vendors_own_address_needs_a_key(http, preset):
    with pytest.raises(ValueError, match=r"'mine' needs an api_key"):
        OpenAiProvider.from_config(config(preset=preset), http)


async def test_a_key_may_come_as_a_header(http):
    OpenAiProvider.from_config(config(headers={"authorization": "Bearer test-key"}), http)


@pytest.mark.parametrize("preset", ["vllm", "llama-cpp", "ollama"])
async def test_a_local_servers_preset_needs_nothing_else(http, preset):
    OpenAiProvider.from_config(config(preset=preset), http)


async def test_an_unknown_preset_is_an_error_that_names_those_there_are(http):
    with pytest.raises(ValueError, match=r"preset 'grok' is unknown; there are .*openai.*xai"):
        OpenAiProvider.from_config(config(preset="grok", base_url="http://127.0.0.1:1"), http)


async def test_the_preset_for_any_server_needs_an_address(http):
    with pytest.raises(ValueError, match="needs a base_url"):
        OpenAiProvider.from_config(config(preset="compatible"), http)


@pytest.mark.parametrize(
    ("fields", "preset"),
    [
        ({}, "openai"),
        ({"base_url": "https://api.openai.com/v1"}, "openai"),
        ({"base_url": "http://10.0.0.5:8000/v1"}, "compatible"),
        ({"base_url": "https://api.openai.com.example.test/v1"}, "compatible"),
        ({"base_url": "http://10.0.0.5:8000/v1", "preset": "openai"}, "openai"),
        ({"preset": "groq"}, "groq"),
    ],
)
def test_an_address_of_ones_own_is_a_compatible_server(fields, preset):
    assert preset_of(config(**fields)).name == preset


async def test_a_presets_quirks_hold_for_requests_and_for_what_is_unsupported(upstream, http):
    provider = OpenAiProvider.from_config(config(preset="deepseek", base_url=upstream.url, api_key="test-key"), http)
    request = ask(generation=GenerationConfig(max_output_tokens=5, seed=1))
    adapted = provider.adapt(request, "m")
    await provider.chat(adapted.request, "m")
    assert upstream.requests[0].json()["max_tokens"] == 5
    assert "seed" not in upstream.requests[0].json()
    assert [found.field for found in adapted.unsupported] == ["generation.seed"]


async def test_configured_quirks_are_laid_over_those_of_the_preset(upstream, http):
    quirks = {"stream_options": False, "seed": True}
    fields = {"preset": "deepseek", "base_url": upstream.url, "api_key": "test-key", "quirks": quirks}
    provider = OpenAiProvider.from_config(config(**fields), http)
    upstream.script(Answer.stream(openai_stream("x")))
    request = ask(generation=GenerationConfig(max_output_tokens=5, seed=1))
    await collected(provider.stream(request, "m"))
    sent = upstream.requests[0].json()
    assert (sent["max_tokens"], sent["seed"], "stream_options" in sent) == (5, 1, False)
    assert provider.adapt(request, "m").unsupported == ()


@pytest.mark.parametrize("quirks", [{"strem_options": False}, {"tools": "no"}])
async def test_quirks_that_make_no_sense_are_refused(http, quirks):
    with pytest.raises(ValueError, match=r"provider 'mine': quirks\.") as raised:
        OpenAiProvider.from_config(config(base_url="http://x", quirks=quirks), http)
    assert next(iter(quirks)) in str(raised.value)


async def test_options_of_kind_and_preset_reach_the_vendor(upstream, http):
    provider = OpenAiProvider.from_config(config(preset="groq", base_url=upstream.url), http)
    options = {"openai": {"service_tier": "flex"}, "groq": {"reasoning_format": "parsed"}, "vllm": {"x": 1.0}}
    await provider.chat(ask("Hi", provider_options=options), "m")
    assert upstream.requests[0].json() == {
        "model": "m",
        "messages": [{"role": "user", "content": "Hi"}],
        "service_tier": "flex",
        "reasoning_format": "parsed",
    }


async def test_the_request_id_is_that_of_the_header(upstream, http):
    headers = {"x-request-id": "req-9"}
    upstream.script(
        Answer.json(openai_answer("x"), headers=headers), Answer.stream(openai_stream("x"), headers=headers)
    )
    provider = OpenAiProvider.from_config(config(base_url=upstream.url), http)
    assert (await provider.chat(ask(), "m")).upstream_request_id == "req-9"
    assert (await collected(provider.stream(ask(), "m")))[0] == UpstreamStart("req-9")


async def test_thinking_that_is_not_wanted_is_left_out_of_both(upstream, http):
    body = b'{"choices":[{"message":{"reasoning":"hm","content":"x"},"finish_reason":"stop"}]}'
    upstream.script(Answer.json(body), Answer.json(body))
    provider = OpenAiProvider.from_config(config(base_url=upstream.url), http)
    request = ask(generation=GenerationConfig(reasoning=ReasoningConfig(include=False)))
    for response in (await provider.chat(request, "m"), assembled(await collected(provider.stream(request, "m")))):
        assert response.candidates[0].message.parts == (TextPart(text="x"),)


async def test_models_are_asked_for_with_the_key(upstream, http):
    upstream.script(Answer.json(b'{"data":[{"id":"a"}]}'))
    provider = OpenAiProvider.from_config(config(base_url=f"{upstream.url}/v1", api_key="test-key"), http)
    assert [model.name for model in await provider.list_models()] == ["a"]
    request = upstream.requests[0]
    assert (request.method, request.path) == ("GET", "/v1/models")
    assert request.headers["authorization"] == "Bearer test-key"


async def test_an_endless_list_of_models_is_refused(upstream, http):
    upstream.script(Answer.json(b'{"data":[' + b" " * (9 * 1024 * 1024) + b"]}"))
    provider = OpenAiProvider.from_config(config(base_url=upstream.url), http)
    with pytest.raises(UpstreamProtocolError):
        await provider.list_models()


@pytest.mark.parametrize(("fields", "path"), [({}, "/responses"), ({"api": "chat"}, "/chat/completions")])
async def test_a_vendor_that_ended_the_old_api_is_asked_by_the_new_one_unless_told_otherwise(
    upstream, http, fields, path
):
    provider = OpenAiProvider.from_config(config(preset="perplexity", base_url=upstream.url, **fields), http)
    upstream.default = Answer.json(b"{}", status=400)
    with pytest.raises(InvalidRequest):
        await provider.chat(ask(), "perplexity/sonar")
    assert upstream.requests[0].path == path


async def test_a_vendor_without_a_list_lists_none_and_is_probed_all_the_same(upstream, http):
    provider = OpenAiProvider.from_config(config(preset="perplexity", base_url=upstream.url), http)
    assert await provider.list_models() == ()
    assert not upstream.requests
    upstream.script(Answer.json(b"", status=404))
    await provider.probe()
    upstream.script(Answer.json(b"", status=500))
    with pytest.raises(UpstreamServerError):
        await provider.probe()


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Answer.json(b"{}", status=401), CredentialsRejected),
        (Answer.json(b"{}", status=500), UpstreamServerError),
        (Answer.json(b"{", status=200), None),
    ],
)
async def test_a_probe_fails_with_the_providers_error(upstream, http, answer, kind):
    upstream.script(answer)
    provider = OpenAiProvider.from_config(config(base_url=upstream.url), http)
    if kind is None:
        await provider.probe()
        return
    with pytest.raises(kind):
        await provider.probe()


async def test_an_address_with_a_segment_too_many_is_told_by_the_list(upstream, http):
    provider = OpenAiProvider.from_config(config(base_url=f"{upstream.url}/chat/completions"), http)
    upstream.script(Answer.json(b"", status=404))
    with pytest.raises(ModelNotFound) as raised:
        await provider.list_models()
    assert raised.value.message == f"Nothing is at {upstream.url}/chat/completions/models; is base_url right?"


async def test_openrouter_is_probed_by_its_key(upstream, http):
    provider = OpenAiProvider.from_config(config(preset="openrouter", base_url=upstream.url, api_key="test-key"), http)
    await provider.probe()
    assert upstream.requests[0].path == "/key"


async def test_closing_a_provider_leaves_the_connections_to_their_owner(upstream, http):
    provider = OpenAiProvider.from_config(config(base_url=upstream.url), http)
    await provider.aclose()
    await provider.aclose()
    assert (await provider.chat(ask(), "m")).candidates


THOUGHT = {"reasoning_content": "Let me \U0001f99c look."}
CALLED = {"tool_calls": [{"index": 0, "id": "c1", "function": {"name": "look", "arguments": "{}"}}]}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("include", [None, True, False])
async def test_a_loop_of_tools_takes_the_thinking_back_whether_it_was_shown_or_not(upstream, http, stream, include):
    provider = OpenAiProvider.from_config(config(preset="deepseek", base_url=upstream.url, api_key="test-key"), http)
    generation = GenerationConfig(reasoning=ReasoningConfig(include=include))
    question = ask("Where?", generation=generation)
    if stream:
        deltas = ({"reasoning_content": "Let me \ud83e"}, {"reasoning_content": "\udd9c look."}, CALLED)
        frames = [sse({"choices": [{"index": 0, "delta": delta}]}) for delta in deltas]
        frames.append(sse({"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}))
        upstream.script(Answer(headers={"content-type": "text/event-stream"}, body=frames, framing=Framing.CHUNKED))
        answer = assembled(await collected(provider.stream(question, "m")))
    else:
        choice = {"index": 0, "message": {"content": None, **THOUGHT, **CALLED}, "finish_reason": "tool_calls"}
        upstream.script(Answer.json(json.dumps({"choices": [choice]}).encode()))
        answer = await provider.chat(question, "m")
    said = answer.candidates[0].message
    shown = "".join(part.text for part in said.parts if isinstance(part, ReasoningPart))
    assert shown == ("" if include is False else THOUGHT["reasoning_content"])
    result = Message(Role.TOOL, (ToolResultPart(tool_call_id="c1", content=(TextPart(text="Here."),)),))
    upstream.script(Answer.json(openai_answer("Here.")))
    await provider.chat(ask(messages=(*question.messages, said, result)), "m")
    sent = upstream.requests[-1].json()["messages"][1]
    assert sent["reasoning_content"] == THOUGHT["reasoning_content"]
    assert sent["tool_calls"][0]["id"] == "c1"


async def test_hidden_thinking_is_gone_where_nobody_wants_it_back(upstream, http):
    provider = OpenAiProvider.from_config(config(base_url=upstream.url), http)
    message = {"content": "Hi", **THOUGHT}
    upstream.script(Answer.json(json.dumps({"choices": [{"message": message, "finish_reason": "stop"}]}).encode()))
    hidden = GenerationConfig(reasoning=ReasoningConfig(include=False))
    answer = await provider.chat(ask(generation=hidden), "m")
    assert answer.candidates[0].message.parts == (TextPart(text="Hi"),)


async def test_functions_and_thinking_go_together_by_the_responses_api_alone(http):
    asked = ask(tools=(FunctionTool("f"),), generation=GenerationConfig(reasoning=ReasoningConfig(ReasoningEffort.LOW)))
    for api, named in (("chat", ["generation.reasoning.effort"]), ("responses", [])):
        provider = OpenAiProvider.from_config(config(api=api, api_key="test-key"), http)
        assert [found.field for found in provider.adapt(asked, "gpt-5.6").unsupported] == named
