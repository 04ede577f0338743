"""The kind openai by the Responses API, over a real connection."""

import json

import pytest

from llmproxy_grpc.config.schema import ProviderConfig
from llmproxy_grpc.errors import PromptBlocked, ProxyError, UpstreamRateLimited, UpstreamServerError
from llmproxy_grpc.messages import (
    FinishReason,
    FunctionTool,
    GenerationConfig,
    MediaDetail,
    MediaKind,
    MediaPart,
    Message,
    ProviderTool,
    ReasoningConfig,
    ReasoningEffort,
    Role,
    TextPart,
    ToolResultPart,
)
from llmproxy_grpc.providers.openai import OpenAiProvider
from llmproxy_grpc.providers.responses_api.custom_tools import names_of_custom_tools
from tests.fakes.faulty_upstream import Answer
from tests.providers.conversations import ask, assembled, collected
from tests.providers.http_kind import sse
from tests.providers.kinds.responses import KIND
from tests.providers.test_golden import GOLDEN

CALLS = GOLDEN / "responses" / "thinking_and_parallel_calls.sse"


async def test_conversations_go_to_responses_and_everything_else_where_it_always_went(upstream, http):
    upstream.handler = KIND.respond
    provider = await KIND.provider(upstream, http)
    await provider.chat(ask(), "m")
    await provider.count_tokens(ask(), "m")
    await provider.list_models()
    assert [request.path for request in upstream.requests] == [
        "/v1/responses",
        "/v1/responses/input_tokens",
        "/v1/models",
    ]


def perplexity(upstream, http):
    config = ProviderConfig(name="p", kind="openai", preset="perplexity", base_url=upstream.url, api_key="test-key")
    return OpenAiProvider.from_config(config, http)


SEARCHED = {"type": "search_results", "queries": ["x"], "results": [{"url": "https://example.com", "title": "T"}]}
FETCHED = {"type": "fetch_url_results", "contents": [{"url": "https://example.com", "title": "T", "snippet": "S"}]}
SPOKEN = {"type": "message", "id": "m1", "role": "assistant", "content": [{"type": "output_text", "text": "Hi"}]}
CALLED = {
    "type": "function_call",
    "id": "f1",
    "call_id": "c1",
    "name": "f",
    "arguments": "{}",
    "thought_signature": "c2ln",
}


@pytest.mark.parametrize("streaming", [False, True])
async def test_what_perplexity_found_is_told_beside_the_message_which_can_go_back(upstream, http, streaming):
    response = {"id": "r", "model": "m", "status": "completed", "output": [SEARCHED, FETCHED, SEARCHED, SPOKEN]}
    provider = perplexity(upstream, http)
    if streaming:
        frames = [sse({"type": "response.output_item.done", "item": item}) for item in response["output"]]
        upstream.script(KIND.streaming([*frames, sse({"type": "response.completed", "response": response})]))
        answer = assembled(await collected(provider.stream(ask(), "m")))
    else:
        upstream.script(Answer.json(json.dumps(response).encode()))
        answer = await provider.chat(ask(), "m")
    assert answer.candidates[0].message.parts == (TextPart(text="Hi"),)
    found = {name: SEARCHED[name] for name in ("queries", "results")}
    fetched = {"contents": FETCHED["contents"]}
    assert answer.provider_metadata == {"search_results": [found, found], "fetch_url_results": [fetched]}


async def test_perplexity_gets_items_with_their_types_and_signatures_of_calls_back(upstream, http):
    response = {"id": "r", "model": "m", "status": "requires_action", "output": [CALLED]}
    upstream.script(Answer.json(json.dumps(response).encode()), Answer.json(KIND.answer("Done.")))
    provider = perplexity(upstream, http)
    candidate = (await provider.chat(ask(tools=(FunctionTool("f"),)), "m")).candidates[0]
    assert candidate.finish_reason is FinishReason.TOOL_CALLS
    words = Message(Role.ASSISTANT, (TextPart(text="So. "), TextPart(text="Well.")))
    result = Message(Role.TOOL, (ToolResultPart(tool_call_id="c1", content=(TextPart(text="42"),)),))
    turns = (Message(Role.USER, (TextPart(text="x"),)), words, candidate.message, result)
    await provider.chat(provider.adapt(ask(messages=turns, tools=(FunctionTool("f"),)), "m").request, "m")
    signed = {"call_id": "c1", "name": "f", "thought_signature": "c2ln"}
    assert upstream.requests[-1].json()["input"] == [
        {"type": "message", "role": "user", "content": "x"},
        {"type": "message", "role": "assistant", "content": "So. Well."},
        {"type": "function_call", "arguments": "{}", **signed},
        {"type": "function_call_output", "output": "42", **signed},
    ]


async def test_a_stream_that_failed_without_a_response_tells_its_error(upstream, http):
    failed = {"type": "response.failed", "error": {"message": "slow down", "code": "rate_limit_exceeded"}}
    upstream.script(KIND.streaming([sse({"type": "response.created"}), sse(failed)]))
    with pytest.raises(UpstreamRateLimited):
        await collected(perplexity(upstream, http).stream(ask(), "m"))


@pytest.mark.parametrize(
    ("reasoning", "sent", "fields"),
    [
        (ReasoningConfig(effort=ReasoningEffort.MAX), {"effort": "xhigh"}, []),
        (ReasoningConfig(effort=ReasoningEffort.NONE), {"effort": "minimal"}, []),
        (ReasoningConfig(include=True), None, ["generation.reasoning.include"]),
    ],
)
async def test_perplexity_is_asked_to_think_in_its_words(upstream, http, reasoning, sent, fields):
    provider = perplexity(upstream, http)
    adapted = provider.adapt(ask(generation=GenerationConfig(reasoning=reasoning)), "m")
    upstream.script(Answer.json(KIND.answer("x")))
    await provider.chat(adapted.request, "m")
    assert upstream.requests[0].json().get("reasoning") == sent
    assert [each.field for each in adapted.unsupported] == fields


def test_perplexity_takes_pictures_by_their_bytes_and_addresses(upstream, http):
    parts = (
        MediaPart(kind=MediaKind.IMAGE, data=b"x", media_type="image/png"),
        MediaPart(kind=MediaKind.IMAGE, uri="https://example.com/a.png"),
        MediaPart(kind=MediaKind.IMAGE, file_id="file-1"),
        MediaPart(kind=MediaKind.IMAGE, uri="https://example.com/a.png", detail=MediaDetail.HIGH),
    )
    unsupported = perplexity(upstream, http).adapt(ask(messages=(Message(Role.USER, parts),)), "m").unsupported
    assert [each.field for each in unsupported] == ["messages[0].parts[2].image", "messages[0].parts[3].image.detail"]


SERVED = {
    "type": "custom_tool_call",
    "id": "ctc_1",
    "call_id": "xs_call_1",
    "name": "x_keyword_search",
    "input": '{"query":"x"}',
    "status": "completed",
}
CUSTOM = {**SERVED, "id": "ctc_2", "call_id": "c2", "name": "sql", "input": "SELECT 1"}
OWN = [
    {"tools": (ProviderTool("openai", "custom", {"name": "sql"}),)},
    {"tools": (ProviderTool("openai", "namespace", {"name": "db", "tools": [{"type": "custom", "name": "sql"}]}),)},
    {"provider_options": {"openai": {"tools": [{"type": "custom", "name": "sql"}, 7]}}},
]


@pytest.mark.parametrize("given", OWN)
@pytest.mark.parametrize("streaming", [False, True])
async def test_a_tool_that_the_provider_ran_itself_is_no_call_for_the_caller(upstream, http, streaming, given):
    provider = await KIND.provider(upstream, http)
    request = ask(**given)
    for output, finish in [([SERVED, SPOKEN], FinishReason.STOP), ([SERVED, CUSTOM], FinishReason.TOOL_CALLS)]:
        response = {"id": "r", "model": "m", "status": "completed", "output": output}
        if streaming:
            frames = [
                frame
                for index, item in enumerate(output)
                for frame in (
                    sse({"type": "response.output_item.added", "output_index": index, "item": {**item, "input": ""}}),
                    sse(
                        {"type": "response.custom_tool_call_input.delta", "output_index": index, "delta": item["input"]}
                    )
                    if "input" in item
                    else sse({"type": "response.in_progress"}),
                    sse({"type": "response.output_item.done", "output_index": index, "item": item}),
                )
            ]
            upstream.script(KIND.streaming([*frames, sse({"type": "response.completed", "response": response})]))
            answer = assembled(await collected(provider.stream(request, "m")))
        else:
            upstream.script(Answer.json(json.dumps(response).encode()))
            answer = await provider.chat(request, "m")
        (candidate,) = answer.candidates
        assert candidate.finish_reason is finish
        said = [getattr(part, "text", None) or part.arguments_json for part in candidate.message.parts]
        assert said == ["Hi" if finish is FinishReason.STOP else "SELECT 1"]
        told = {name: value for name, value in SERVED.items() if name != "type"}
        assert answer.provider_metadata == {"custom_tool_call": [told]}


def test_calls_are_the_callers_where_the_provider_has_no_tool_to_run():
    assert names_of_custom_tools(ask()) is None
    assert names_of_custom_tools(ask(tools=(FunctionTool("f"),))) is None
    assert names_of_custom_tools(ask(tools=(FunctionTool("f"), ProviderTool("xai", "x_search", {})))) == set()


def test_a_preset_without_the_api_refuses_it(http):
    config = ProviderConfig(name="d", kind="openai", preset="together", api="responses", api_key="test-key")
    with pytest.raises(ValueError, match="no Responses API"):
        OpenAiProvider.from_config(config, http)


@pytest.mark.parametrize("shown", [True, False])
async def test_a_tool_loop_sends_the_encrypted_thinking_back_before_its_calls(upstream, http, shown):
    provider = await KIND.provider(upstream, http)
    config = GenerationConfig(reasoning=ReasoningConfig(include=shown))
    request = ask(tools=(FunctionTool("weather"), FunctionTool("now")), generation=config)
    upstream.script(KIND.streaming([CALLS.read_bytes()]), Answer.json(KIND.answer("Done.")))
    said = assembled(await collected(provider.stream(request, "gpt-5"))).candidates[0].message
    assert bool(getattr(said.parts[0], "text", "")) == shown
    results = tuple(ToolResultPart(tool_call_id=f"call_{n}", content=(TextPart(text="42"),)) for n in (1, 2))
    second = ask(messages=(*request.messages, said, Message(Role.TOOL, results)), tools=request.tools)
    await provider.chat(provider.adapt(second, "gpt-5").request, "gpt-5")
    sent = upstream.requests[-1].json()["input"]
    assert [item.get("type", "message") for item in sent] == [
        "message",
        "reasoning",
        "function_call",
        "function_call",
        "function_call_output",
        "function_call_output",
    ]
    assert (sent[1]["id"], sent[1]["encrypted_content"], len(sent[1]["summary"])) == ("rs_1", "gAAAAB", 2)
    assert sent[2]["arguments"] == '{"city": "Paris", "n": 9007199254740993}'


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"code": "rate_limit_exceeded", "message": "slow down"}, UpstreamRateLimited),
        ({"code": "server_error", "message": "oops"}, UpstreamServerError),
        ({"code": "invalid_prompt", "message": "no"}, PromptBlocked),
    ],
)
async def test_a_response_that_failed_is_its_error_however_it_comes(upstream, http, error, kind):
    provider = await KIND.provider(upstream, http)
    failed = {"id": "resp_1", "status": "failed", "error": error, "output": []}
    for frame in (sse({"type": "response.failed", "response": failed}), sse({"type": "error", **error})):
        upstream.script(KIND.streaming([frame]))
        with pytest.raises(kind):
            await collected(provider.stream(ask(), "m"))
    upstream.script(Answer.json(sse(failed).removeprefix(b"data: ")))
    with pytest.raises(kind):
        await provider.chat(ask(), "m")


@pytest.mark.parametrize("status", ["cancelled", "queued", "in_progress"])
async def test_a_response_that_did_not_end_is_no_answer(upstream, http, status):
    provider = await KIND.provider(upstream, http)
    upstream.script(KIND.streaming([sse({"type": f"response.{status}", "response": {"status": status}})]))
    with pytest.raises(ProxyError):
        await collected(provider.stream(ask(), "m"))
