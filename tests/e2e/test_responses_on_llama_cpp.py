"""The Responses API against a real peer: the server of the embedded model, by its unix socket."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest
import pytest_asyncio

from llmproxy_grpc.config.schema import ProviderConfig
from llmproxy_grpc.errors import ContextLengthExceeded
from llmproxy_grpc.messages import (
    ChatRequest,
    FinishReason,
    FunctionTool,
    GenerationConfig,
    JsonObjectFormat,
    MediaKind,
    MediaPart,
    Message,
    ReasoningPart,
    RefusalPart,
    Role,
    TextDelta,
    TextPart,
    ToolCallPart,
    ToolChoice,
    ToolMode,
    ToolResultPart,
)
from llmproxy_grpc.providers import registry
from llmproxy_grpc.providers.http import HttpClient
from llmproxy_grpc.providers.local import LocalProvider, available
from llmproxy_grpc.providers.provider import Provider
from tests.providers.conversations import assembled, collected

MODEL = "smollm2-135m"

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.skipif(
        not available(), reason="embedded model not installable here: its runtime or its weights are missing"
    ),
]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def peer() -> AsyncIterator[Provider]:
    local = LocalProvider.from_config(ProviderConfig(name="local", kind="local", context_size=1024), http=None)
    await local._process.ready()
    http = HttpClient(connect_timeout=3, unix_path=str(local._process.socket_path))
    config = {"kind": "openai", "preset": "llama-cpp", "api": "responses", "base_url": "http://localhost/v1"}
    yield registry.build(ProviderConfig.model_validate({"name": "peer", **config}), http)
    await http.aclose()
    await local.aclose()


def asking(*messages: Message, **settings) -> ChatRequest:
    messages = messages or (Message(Role.USER, (TextPart(text="Say hello."),)),)
    settings = {"max_output_tokens": 8, "temperature": 0.0} | settings
    return ChatRequest(MODEL, messages, generation=GenerationConfig(**settings))


async def test_it_answers_the_same_whole_and_in_pieces(peer):
    request = asking(max_output_tokens=40)
    whole = await peer.chat(request, MODEL)
    events = await collected(peer.stream(request, MODEL))
    streamed = assembled(events)
    assert streamed.candidates == whole.candidates
    assert whole.candidates[0].message.parts[0].text.strip()
    assert whole.candidates[0].finish_reason is FinishReason.STOP
    assert sum(isinstance(event, TextDelta) for event in events) > 1
    assert streamed.usage.output_tokens == whole.usage.output_tokens > 0


async def test_an_answer_that_the_limit_cut_says_so(peer):
    request = asking(max_output_tokens=3)
    for answer in (await peer.chat(request, MODEL), assembled(await collected(peer.stream(request, MODEL)))):
        assert answer.candidates[0].finish_reason is FinishReason.MAX_TOKENS


async def test_it_takes_a_whole_conversation(peer):
    token = b'{"summary":[],"content":[{"type":"reasoning_text","text":"Let me see."}]}'
    said = (
        ReasoningPart(text="Let me see.", continuity_token=token),
        TextPart(text="I look."),
        ToolCallPart(id="call_1", name="weather", arguments_json='{"city":"Paris"}'),
        ToolCallPart(id="call_2", name="now", arguments_json="{}"),
    )
    results = tuple(ToolResultPart(tool_call_id=f"call_{n}", content=(TextPart(text="4"),)) for n in (1, 2))
    request = asking(
        Message(Role.SYSTEM, (TextPart(text="Be brief."),)),
        Message(Role.DEVELOPER, (TextPart(text="Be kind."),)),
        Message(Role.USER, (TextPart(text="What"), TextPart(text=" is it?"))),
        Message(Role.ASSISTANT, said),
        Message(Role.TOOL, results),
        Message(Role.ASSISTANT, (TextPart(text="It is"), RefusalPart(text="not for me to say."))),
        Message(Role.USER, (TextPart(text="Say it."),)),
    )
    request = ChatRequest(
        request.model,
        request.messages,
        (FunctionTool("weather", parameters_json_schema='{"type":"object","properties":{}}'), FunctionTool("now")),
        ToolChoice(ToolMode.NONE, parallel_tool_calls=True),
        request.generation,
    )
    adapted = peer.adapt(request, MODEL)
    assert adapted.unsupported == ()
    assert (await peer.chat(adapted.request, MODEL)).candidates[0].message.parts[0].text


async def test_what_it_would_ignore_or_refuse_is_named(peer):
    pdf = MediaPart(kind=MediaKind.DOCUMENT, data=b"x", media_type="application/pdf")
    request = asking(
        Message(Role.USER, (TextPart(text="?"), pdf)), response_format=JsonObjectFormat(), top_logprobs=1, seed=1
    )
    assert [found.field for found in peer.adapt(request, MODEL).unsupported] == [
        "messages[0].parts[1].document",
        "generation.seed",
        "generation.top_logprobs",
        "generation.response_format.json_object",
    ]


async def test_it_counts_what_it_would_read(peer):
    request = asking()
    assert await peer.count_tokens(request, MODEL) == (await peer.chat(request, MODEL)).usage.input_tokens


async def test_a_prompt_that_does_not_fit_is_the_callers_to_shorten(peer):
    long = asking(Message(Role.USER, (TextPart(text="word " * 3000),)))
    with pytest.raises(ContextLengthExceeded) as caught:
        await peer.chat(long, MODEL)
    assert caught.value.metadata["maxTokens"] == "1024"
    with pytest.raises(ContextLengthExceeded):
        await collected(peer.stream(long, MODEL))


async def test_a_stream_that_is_left_does_not_hold_up_the_next(peer):
    async with aclosing(peer.stream(asking(max_output_tokens=900), MODEL)) as batches:
        async for batch in batches:
            if any(isinstance(event, TextDelta) for event in batch):
                break
    async with asyncio.timeout(5):
        assert (await peer.chat(asking(max_output_tokens=1), MODEL)).candidates


async def test_it_is_probed_and_lists_its_model(peer):
    await peer.probe()
    assert MODEL in [model.name for model in await peer.list_models()]
