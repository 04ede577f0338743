"""The kind anthropic against a real server of its API: the embedded model's, which speaks it beside its own."""

from contextlib import aclosing

import pytest
import pytest_asyncio

from llmproxy_grpc.config.schema import ProviderConfig
from llmproxy_grpc.errors import ContextLengthExceeded
from llmproxy_grpc.messages import (
    CandidateFinish,
    FinishReason,
    FunctionTool,
    GenerationConfig,
    Message,
    ReasoningConfig,
    ReasoningEffort,
    Role,
    TextDelta,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    UpstreamEnd,
    UpstreamStart,
)
from llmproxy_grpc.providers.anthropic import AnthropicProvider
from llmproxy_grpc.providers.http import HttpClient
from llmproxy_grpc.providers.local import LocalProvider, available
from tests.providers.conversations import ask

MODEL = "smollm2-135m"

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.skipif(
        not available(), reason="embedded model not installable here: its runtime or its weights are missing"
    ),
]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def claude():
    model = LocalProvider.from_config(ProviderConfig(name="local", kind="local", context_size=1024), http=None)
    await model._process.ready()
    http = HttpClient(connect_timeout=3, unix_path=str(model._process.socket_path))
    config = ProviderConfig(name="claude", kind="anthropic", base_url="http://localhost")
    yield AnthropicProvider.from_config(config, http)
    await http.aclose()
    await model.aclose()


def asking(*texts, **fields):
    settings = {"max_output_tokens": 12, "temperature": 0.0, **fields.pop("settings", {})}
    return ask(*texts, generation=GenerationConfig(**settings), **fields)


async def chat(provider, request):
    adapted = provider.adapt(request, MODEL)
    assert adapted.unsupported == ()
    return await provider.chat(adapted.request, MODEL)


async def stream(provider, request):
    async with aclosing(provider.stream(provider.adapt(request, MODEL).request, MODEL)) as batches:
        return [event async for batch in batches for event in batch]


def said(response):
    return "".join(part.text for part in response.candidates[0].message.parts)


async def test_it_answers_and_counts(claude):
    response = await chat(claude, asking("Say hello.", settings={"max_output_tokens": 60}))
    assert said(response).strip()
    assert response.candidates[0].finish_reason is FinishReason.STOP
    assert response.candidates[0].raw_finish_reason == "end_turn"
    assert response.usage.input_tokens > 5
    assert response.usage.total_tokens == response.usage.input_tokens + response.usage.output_tokens
    assert response.upstream_request_id


async def test_a_stream_says_the_same_in_pieces(claude):
    request = asking("Tell me a story.")
    whole = await chat(claude, request)
    events = await stream(claude, request)
    assert isinstance(events[0], UpstreamStart)
    assert isinstance(events[-1], UpstreamEnd)
    texts = [event.text for event in events if isinstance(event, TextDelta)]
    assert len(texts) > 1
    assert "".join(texts) == said(whole)
    (finish,) = [event for event in events if isinstance(event, CandidateFinish)]
    assert finish.finish_reason is whole.candidates[0].finish_reason is FinishReason.MAX_TOKENS
    assert events[-1].usage.output_tokens == whole.usage.output_tokens == 12
    assert events[-1].usage.input_tokens == whole.usage.input_tokens


async def test_a_stop_sequence_ends_the_answer_and_is_told(claude):
    stop = said(await chat(claude, asking("Tell me a story."))).split()[3]
    stopped = await chat(claude, asking("Tell me a story.", settings={"stop_sequences": (stop,)}))
    (candidate,) = stopped.candidates
    assert stop not in said(stopped)
    assert candidate.finish_reason is FinishReason.STOP_SEQUENCE
    assert candidate.matched_stop_sequence == stop


@pytest.mark.parametrize("text", ["Say hello.", "añ😀 日本語"])
async def test_it_counts_the_tokens_that_a_conversation_then_uses(claude, text):
    system = Message(Role.SYSTEM, (TextPart(text="You are brief."),))
    request = asking(messages=(system, *ask(text).messages))
    counted = await claude.count_tokens(request, MODEL)
    assert counted == (await chat(claude, request)).usage.input_tokens
    assert counted > await claude.count_tokens(asking(text), MODEL) - 20


async def test_what_was_cached_is_part_of_the_input(claude):
    request = asking("word " * 200)
    first, second = await chat(claude, request), await chat(claude, request)
    assert first.usage.input_tokens == second.usage.input_tokens > 200
    assert second.usage.cached_input_tokens > 100


async def test_a_conversation_with_calls_and_results_is_understood(claude):
    call = ToolCallPart(id="functions.now:0", name="now", arguments_json='{"zone": "CET"}')
    request = asking(
        messages=(
            *ask("What time is it?").messages,
            Message(Role.ASSISTANT, (TextPart(text="I look."), call)),
            Message(Role.TOOL, (ToolResultPart(tool_call_id=call.id, content=(TextPart(text="Noon."),)),)),
            *ask("Thanks. So?").messages,
        ),
        tools=(
            FunctionTool("now", "tells the time", '{"type": "object", "properties": {"zone": {"type": "string"}}}'),
        ),
    )
    assert (await chat(claude, request)).candidates
    assert isinstance((await stream(claude, request))[-1], UpstreamEnd)


@pytest.mark.parametrize("effort", [ReasoningEffort.NONE, ReasoningEffort.LOW])
async def test_it_may_be_told_how_much_to_think(claude, effort):
    request = asking("Hello?", settings={"reasoning": ReasoningConfig(effort), "max_output_tokens": 1030})
    assert (await chat(claude, request)).candidates


async def test_a_prompt_that_does_not_fit_is_the_callers_to_shorten(claude):
    with pytest.raises(ContextLengthExceeded):
        await chat(claude, asking("word " * 3000))
    with pytest.raises(ContextLengthExceeded):
        await stream(claude, asking("word " * 3000))


async def test_it_is_probed_and_lists_its_model(claude):
    await claude.probe()
    assert [model.name for model in await claude.list_models()] == [MODEL]
