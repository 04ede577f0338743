"""The real embedded model in its real child process."""

import asyncio
import os
import signal
import sys
import textwrap
from contextlib import aclosing, suppress
from functools import reduce
from pathlib import Path

import pytest
import pytest_asyncio
from msgspec.structs import replace

from llmproxy_grpc.config.schema import ProviderConfig
from llmproxy_grpc.errors import (
    ContextLengthExceeded,
    ModelNotFound,
    UpstreamError,
    UpstreamStreamBroken,
    UpstreamUnreachable,
)
from llmproxy_grpc.messages import (
    CandidateFinish,
    ChatRequest,
    EmbedRequest,
    FinishReason,
    GenerationConfig,
    JsonSchemaFormat,
    Message,
    Role,
    TextDelta,
    TextPart,
    UpstreamEnd,
    UpstreamStart,
    UsageSource,
)
from llmproxy_grpc.providers.local import LocalProvider, available
from llmproxy_grpc.routing.catalog import Target
from llmproxy_grpc.routing.operations import EMBED
from llmproxy_grpc.routing.usage import sum_of

MODEL = "smollm2-135m"
ENDLESS = {"local": {"ignore_eos": True}}

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.skipif(
        not available(), reason="embedded model not installable here: its runtime or its weights are missing"
    ),
]


def build(**settings):
    return LocalProvider.from_config(ProviderConfig(name="local", kind="local", **settings), http=None)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def local():
    provider = build(context_size=1024)
    yield provider
    await provider.aclose()


@pytest_asyncio.fixture(loop_scope="session")
async def other():
    """A model of the test's own, to be killed or kept busy, that answers one call at a time."""
    provider = build(context_size=1024, parallel=1)
    yield provider
    await provider.aclose()


def asking(text="Say hello.", *, options=None, **settings):
    settings = {"max_output_tokens": 8, "temperature": 0.0} | settings
    return ChatRequest(
        MODEL,
        (Message(Role.USER, (TextPart(text=text),)),),
        generation=GenerationConfig(**settings),
        provider_options=options or {},
    )


async def chat(provider, request):
    return await provider.chat(request, MODEL)


async def stream(provider, request):
    async with aclosing(provider.stream(request, MODEL)) as batches:
        return [event async for batch in batches for event in batch]


def text_of(events):
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def endless():
    return asking("Count.", max_output_tokens=900, options=ENDLESS)


def running(pid):
    """Whether a process runs; one that is dead but not buried does not."""
    with suppress(ProcessLookupError, FileNotFoundError):
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat")
        return (
            not state.parent.parent.joinpath("self").exists() or state.read_text().rpartition(")")[2].split()[0] != "Z"
        )
    return False


async def eventually(condition, seconds=5.0):
    async with asyncio.timeout(seconds):
        for _ in range(1_000_000):
            if condition():
                return
            await asyncio.sleep(0.01)


async def test_it_answers_with_text_and_counts_its_tokens(local):
    response = await chat(local, asking(max_output_tokens=60))
    (candidate,) = response.candidates
    assert candidate.message.role is Role.ASSISTANT
    assert candidate.message.parts[0].text.strip()
    assert candidate.finish_reason is FinishReason.STOP
    assert response.usage.source is UsageSource.PROVIDER
    assert response.usage.input_tokens > 5
    assert response.usage.total_tokens == response.usage.input_tokens + response.usage.output_tokens


async def test_what_several_candidates_used_is_not_taken_from_the_count_of_one(local):
    request = asking(max_output_tokens=5, candidate_count=2)
    response = await chat(local, request)
    assert len(response.candidates) == 2
    assert response.usage is None
    assert (await stream(local, request))[-1].usage is None


async def test_a_stream_says_the_same_in_pieces_with_its_usage(local):
    request = asking(max_output_tokens=20)
    events = await stream(local, request)
    whole = await chat(local, request)
    assert isinstance(events[0], UpstreamStart)
    assert isinstance(events[-1], UpstreamEnd)
    assert events[-1].usage.output_tokens == whole.usage.output_tokens
    assert sum(isinstance(event, TextDelta) for event in events) > 1
    assert text_of(events) == whole.candidates[0].message.parts[0].text


async def test_the_limit_of_tokens_holds(local):
    response = await chat(local, asking("Tell me a story.", max_output_tokens=3))
    assert response.candidates[0].finish_reason is FinishReason.MAX_TOKENS
    assert response.usage.output_tokens == 3
    events = await stream(local, asking("Tell me a story.", max_output_tokens=3))
    assert [event.finish_reason for event in events if isinstance(event, CandidateFinish)] == [FinishReason.MAX_TOKENS]


async def test_a_stop_sequence_ends_the_answer_before_it(local):
    request = asking("Tell me a story.", max_output_tokens=30)
    whole = (await chat(local, request)).candidates[0].message.parts[0].text
    stop = whole.split()[4]
    stopped = await chat(local, asking("Tell me a story.", max_output_tokens=30, stop_sequences=(stop,)))
    text = "".join(part.text for part in stopped.candidates[0].message.parts)
    assert whole.startswith(text)
    assert stop not in text
    assert stopped.candidates[0].finish_reason in {FinishReason.STOP, FinishReason.STOP_SEQUENCE}


async def test_a_schema_is_followed(local):
    schema = '{"type":"object","properties":{"n":{"type":"integer","maximum":9}},"required":["n"]}'
    request = asking("How many?", max_output_tokens=60, response_format=JsonSchemaFormat("count", schema))
    text = (await chat(local, request)).candidates[0].message.parts[0].text
    assert text.lstrip().startswith("{")
    assert '"n"' in text


async def test_a_prompt_that_does_not_fit_is_the_callers_to_shorten(local):
    with pytest.raises(ContextLengthExceeded):
        await chat(local, asking("word " * 3000))


def nearness(one, other):
    """The cosine of two vectors of length 1."""
    return sum(a * b for a, b in zip(one, other, strict=True))


async def embed(provider, *texts):
    """As the router asks: as many texts at a time as the model takes."""
    request = EmbedRequest(MODEL, tuple(TextPart(text=text) for text in texts))
    used = []
    answer = await EMBED.ask(request, provider, Target("local", MODEL), lambda _answer, usage: used.append(usage))
    return replace(answer, usage=reduce(sum_of, used))


async def test_its_vectors_tell_texts_apart_by_their_meaning(local):
    texts = "The cat sleeps on the sofa.", "A kitten is sleeping on the couch.", "Interest rates rose by two percent."
    response = await embed(local, *texts, texts[0])
    cat, kitten, rates, again = response.vectors
    assert {len(vector) for vector in response.vectors} == {576}
    assert nearness(cat, cat) == pytest.approx(1.0, abs=1e-4)
    assert nearness(cat, again) == pytest.approx(1.0, abs=1e-4)
    assert nearness(cat, kitten) > nearness(cat, rates) + 0.05
    assert response.usage.input_tokens == response.usage.total_tokens > 20


async def test_a_text_has_the_same_vector_whatever_is_asked_beside_it(local):
    alone = (await embed(local, "The cat sleeps on the sofa.")).vectors[0]
    for _ in range(5):
        beside = (await embed(local, "Interest rates rose.", "The cat sleeps on the sofa.", "A kitten.")).vectors[1]
        assert nearness(alone, beside) == pytest.approx(1.0, abs=1e-4)


async def test_vectors_and_conversations_do_not_disturb_each_other(local):
    async with asyncio.timeout(25):
        before = text_of(await stream(local, asking("Say one.")))
        results = await asyncio.gather(
            *(embed(local, f"Text {at}.") for at in range(6)), chat(local, asking("Say one."))
        )
    assert results[-1].candidates[0].message.parts[0].text == before
    assert all(len(response.vectors[0]) == 576 for response in results[:-1])


async def test_a_text_that_does_not_fit_is_the_callers_to_shorten(local):
    with pytest.raises(ContextLengthExceeded):
        await embed(local, "word " * 900)


@pytest.mark.parametrize("text", ["Say hello.", "añ😀 日本語", "word " * 100])
async def test_it_counts_the_tokens_that_a_conversation_then_uses(local, text):
    request = asking(text, max_output_tokens=1)
    counted = await local.count_tokens(request, MODEL)
    assert counted == (await chat(local, request)).usage.input_tokens


async def test_an_unknown_model_is_not_found(local):
    with pytest.raises(ModelNotFound):
        await local.chat(asking(), "gpt")


async def test_more_calls_than_slots_all_end_well(local):
    async with asyncio.timeout(25):
        results = await asyncio.gather(*(stream(local, asking(f"Say {at}.", max_output_tokens=4)) for at in range(12)))
    assert all(isinstance(events[-1], UpstreamEnd) for events in results)


async def test_streams_back_to_back_never_fail(local):
    for _ in range(50):
        events = await stream(local, asking(max_output_tokens=1))
        assert isinstance(events[-1], UpstreamEnd)


async def test_it_is_probed_and_lists_its_model(local):
    await chat(local, asking(max_output_tokens=1))
    await local.probe()
    assert [model.name for model in await local.list_models()] == [MODEL]


async def test_a_stream_that_is_left_frees_its_slot(other):
    async with aclosing(other.stream(endless(), MODEL)) as batches:
        async for batch in batches:
            if any(isinstance(event, TextDelta) for event in batch):
                break
    async with asyncio.timeout(3):  # to the end, the other answer would take longer
        await chat(other, asking(max_output_tokens=1))


async def test_a_cancelled_call_frees_its_slot(other):
    await chat(other, asking(max_output_tokens=1))
    task = asyncio.create_task(chat(other, endless()))
    await asyncio.sleep(0.2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(3):
        await chat(other, asking(max_output_tokens=1))


async def test_a_process_killed_in_a_stream_breaks_it_and_the_next_call_starts_another(other):
    async def watch():
        async with aclosing(other.stream(endless(), MODEL)) as batches:
            async for batch in batches:
                if any(isinstance(event, TextDelta) for event in batch):
                    os.kill(other._process.pid, signal.SIGKILL)

    with pytest.raises(UpstreamStreamBroken):
        await watch()
    assert (await chat(other, asking(max_output_tokens=1))).candidates


async def test_a_process_killed_between_calls_is_not_noticed_by_the_next(other):
    await stream(other, asking(max_output_tokens=1))
    os.kill(other._process.pid, signal.SIGKILL)
    assert isinstance((await stream(other, asking(max_output_tokens=1)))[-1], UpstreamEnd)


async def test_signals_to_the_group_are_left_to_the_server(other):
    await chat(other, asking(max_output_tokens=1))
    pid = other._process.pid
    for number in (signal.SIGTERM, signal.SIGINT):
        os.kill(pid, number)
    await chat(other, asking(max_output_tokens=1))
    assert other._process.pid == pid


async def test_two_models_run_side_by_side_and_end_when_closed():
    providers = [build(context_size=256, parallel=1) for _ in range(2)]
    try:
        results = await asyncio.gather(*(chat(provider, asking(max_output_tokens=2)) for provider in providers))
        assert all(result.candidates for result in results)
        pids = [provider._process.pid for provider in providers]
        folders = [provider._process.socket_path.parent for provider in providers]
        assert len({*pids}) == 2
    finally:
        for provider in providers:
            await provider.aclose()
    assert not any(running(pid) for pid in pids)
    assert not any(folder.exists() for folder in folders)
    with pytest.raises(UpstreamUnreachable):
        await chat(providers[0], asking())


async def test_closing_breaks_what_is_in_flight():
    provider = build(context_size=1024, parallel=1)
    async with aclosing(provider.stream(endless(), MODEL)) as batches:
        await anext(batches)
        closing = asyncio.create_task(provider.aclose())
        with pytest.raises(UpstreamError):
            async for _ in batches:
                pass
        await closing


async def test_weights_that_are_none_are_a_failed_start(tmp_path):
    path = tmp_path / "broken.gguf"
    path.write_bytes(b"GGUF, but not really")
    provider = build(model_file=path)
    with pytest.raises(UpstreamUnreachable):
        await provider.chat(asking(), "broken")
    await provider.aclose()


async def test_the_process_does_not_outlive_a_server_that_was_killed():
    program = textwrap.dedent(
        """
        import asyncio
        from llmproxy_grpc.config.schema import ProviderConfig
        from llmproxy_grpc.providers.local import LocalProvider

        async def main():
            config = ProviderConfig(name="local", kind="local", context_size=256, parallel=1)
            process = LocalProvider.from_config(config, None)._process
            await process.ready()
            print(process.pid, process.socket_path.parent, flush=True)
            await asyncio.Event().wait()

        asyncio.run(main())
        """
    )
    server = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE)
    async with asyncio.timeout(20):
        pid, folder = (await server.stdout.readline()).decode().split()
    assert running(int(pid))
    server.kill()
    await server.wait()
    await eventually(lambda: not running(int(pid)) and not Path(folder).exists())
