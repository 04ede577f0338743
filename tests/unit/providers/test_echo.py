"""The echo kind: what it answers, and that its two ways of answering agree."""

import asyncio
from contextlib import aclosing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy_grpc.config.schema import ProviderConfig
from llmproxy_grpc.errors import ModelNotFound
from llmproxy_grpc.messages import (
    CandidateFinish,
    ChatRequest,
    EmbedPurpose,
    EmbedRequest,
    FinishReason,
    FunctionTool,
    GenerationConfig,
    JsonObjectFormat,
    MediaKind,
    MediaPart,
    Message,
    Modality,
    OpaquePart,
    ReasoningConfig,
    ReasoningEffort,
    Role,
    TextDelta,
    TextPart,
    ToolResultPart,
    UpstreamEnd,
    UpstreamStart,
    UsageSource,
)
from llmproxy_grpc.providers.echo import EchoProvider

PICTURE = MediaPart(kind=MediaKind.IMAGE, data=b"x", media_type="image/png")
BLOCK = OpaquePart(provider_kind="echo", type="t", value={})


def user(*texts):
    return Message(Role.USER, tuple(TextPart(text=text) for text in texts))


def asking(*messages, **settings):
    return ChatRequest("echo", messages, generation=GenerationConfig(**settings))


async def answer(request):
    (candidate,) = (await EchoProvider("echo").chat(request, "echo")).candidates
    return "".join(part.text for part in candidate.message.parts), candidate.finish_reason


async def stream(request, model="echo"):
    async with aclosing(EchoProvider("echo").stream(request, model)) as batches:
        return [batch async for batch in batches]


def deltas(batches, candidate=0):
    events = [event for batch in batches for event in batch]
    return [event.text for event in events if isinstance(event, TextDelta) and event.candidate_index == candidate]


async def test_the_answer_is_the_last_user_text():
    request = asking(
        Message(Role.SYSTEM, (TextPart(text="be kind"),)),
        user("first"),
        Message(Role.ASSISTANT, (TextPart(text="said"),)),
        user("second one"),
        Message(Role.TOOL, (ToolResultPart(tool_call_id="a"),)),
    )
    assert await answer(request) == ("second one", FinishReason.STOP)


async def test_parts_of_a_message_are_joined_as_they_are():
    assert await answer(asking(user("one ", "two"))) == ("one two", FinishReason.STOP)


async def test_a_message_of_pictures_alone_does_not_hide_the_text_before_it():
    assert await answer(asking(user("look"), Message(Role.USER, (PICTURE,)))) == ("look", FinishReason.STOP)


@pytest.mark.parametrize("messages", [(), (user(),), (user(""),), (Message(Role.SYSTEM, (TextPart(text="a"),)),)])
async def test_nothing_asked_is_nothing_answered(messages):
    request = asking(*messages)
    (candidate,) = (await EchoProvider("echo").chat(request, "echo")).candidates
    assert candidate.message.parts == ()
    assert candidate.finish_reason is FinishReason.STOP
    assert deltas(await stream(request)) == []


async def test_a_word_is_one_batch_and_keeps_the_space_before_it():
    batches = await stream(asking(user("Hello  big\nworld ")))
    assert batches[0] == (UpstreamStart(),)
    assert batches[1:-1] == [(TextDelta(text=word),) for word in ("Hello", "  big", "\nworld ")]
    assert batches[-1][0] == CandidateFinish(0, FinishReason.STOP)
    assert isinstance(batches[-1][1], UpstreamEnd)


async def test_usage_counts_words_and_says_that_it_is_an_estimate():
    request = asking(Message(Role.SYSTEM, (TextPart(text="be kind"),)), user("one two three"))
    usage = (await EchoProvider("echo").chat(request, "echo")).usage
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (5, 3, 8)
    assert usage.source is UsageSource.ESTIMATE
    assert (await stream(request))[-1][-1].usage == usage


@pytest.mark.parametrize(
    ("limit", "text", "reason"),
    [
        (1, "one", FinishReason.MAX_TOKENS),
        (2, "one two", FinishReason.MAX_TOKENS),
        (3, "one two three", FinishReason.STOP),
        (9, "one two three", FinishReason.STOP),
    ],
)
async def test_the_limit_counts_words(limit, text, reason):
    assert await answer(asking(user("one two three"), max_output_tokens=limit)) == (text, reason)


async def test_the_earliest_stop_sequence_ends_the_answer_and_is_named():
    request = asking(user("one two three"), stop_sequences=("three", "two", "", "none"))
    (candidate,) = (await EchoProvider("echo").chat(request, "echo")).candidates
    assert candidate.message.parts == (TextPart(text="one "),)
    assert candidate.finish_reason is FinishReason.STOP_SEQUENCE
    assert candidate.matched_stop_sequence == "two"
    assert (await stream(request))[-1][0] == CandidateFinish(0, FinishReason.STOP_SEQUENCE, "", "two")


async def test_a_limit_that_comes_before_the_stop_sequence_wins():
    request = asking(user("one two three"), stop_sequences=("three",), max_output_tokens=1)
    assert await answer(request) == ("one", FinishReason.MAX_TOKENS)


async def test_every_candidate_is_the_same_and_is_counted():
    request = asking(user("one two"), candidate_count=3)
    response = await EchoProvider("echo").chat(request, "echo")
    assert [candidate.index for candidate in response.candidates] == [0, 1, 2]
    assert response.usage.output_tokens == 6
    batches = await stream(request)
    assert all(deltas(batches, index) == ["one", " two"] for index in range(3))
    assert [event.candidate_index for event in batches[-1][:-1]] == [0, 1, 2]


@given(st.text(), st.none() | st.integers(1, 5), st.lists(st.text(max_size=2), max_size=2).map(tuple))
async def test_the_stream_says_what_the_whole_answer_says(text, limit, stops):
    request = asking(user(text), max_output_tokens=limit, stop_sequences=stops)
    response, batches = await EchoProvider("echo").chat(request, "echo"), await stream(request)
    (candidate,) = response.candidates
    assert "".join(deltas(batches)) == "".join(part.text for part in candidate.message.parts)
    assert batches[-1] == (
        CandidateFinish(0, candidate.finish_reason, "", candidate.matched_stop_sequence),
        UpstreamEnd(usage=response.usage),
    )
    assert limit is None or len(deltas(batches)) <= limit or not text.split()
    assert len(deltas(batches)) == response.usage.output_tokens or not text.split()


@pytest.mark.parametrize("text", ["a" * 1_000_000, " " * 1_000_000, "a" + " " * 1_000_000, "a " * 50_000])
async def test_a_huge_text_comes_back_whole(text):
    batches = await stream(asking(user(text)))
    assert "".join(deltas(batches)) == text
    assert await answer(asking(user(text))) == (text, FinishReason.STOP)


async def test_a_stream_lets_others_run_between_words():
    words = 0
    others = []

    async def other():
        for _ in range(3):
            others.append(words)
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    async with aclosing(EchoProvider("echo").stream(asking(user("a b c d e")), "echo")) as batches:
        async for _ in batches:
            words += 1
    await task
    assert len(set(others)) > 1


async def test_an_unknown_model_is_not_found():
    with pytest.raises(ModelNotFound):
        await EchoProvider("echo").chat(asking(user("a")), "gpt")
    with pytest.raises(ModelNotFound):
        await stream(asking(user("a")), "gpt")


def test_what_an_echo_ignores_is_named():
    request = ChatRequest(
        "echo",
        (
            user("a"),
            Message(Role.USER, (TextPart(text="b"), PICTURE, BLOCK)),
        ),
        tools=(FunctionTool("f"),),
        generation=GenerationConfig(
            response_format=JsonObjectFormat(),
            top_logprobs=1,
            reasoning=ReasoningConfig(effort=ReasoningEffort.LOW),
            output_modalities=(Modality.TEXT, Modality.AUDIO),
        ),
    )
    fields = {found.field for found in EchoProvider("echo").adapt(request, "echo").unsupported}
    assert fields == {
        "tools",
        "generation.response_format.json_object",
        "generation.top_logprobs",
        "generation.reasoning.effort",
        "generation.output_modalities",
        "messages[1].parts[1].image",
        "messages[1].parts[2].opaque",
    }


def test_sampling_settings_hold_by_themselves():
    request = asking(
        user("a"), temperature=0.5, top_p=0.1, top_k=3, seed=7, presence_penalty=1.0, output_modalities=(Modality.TEXT,)
    )
    assert EchoProvider("echo").adapt(request, "echo").unsupported == ()


async def test_it_lists_its_one_model_and_needs_nothing_open():
    provider = EchoProvider.from_config(ProviderConfig(name="parrot", kind="echo"), http=None)
    assert (provider.name, provider.kind) == ("parrot", "echo")
    assert [model.name for model in await provider.list_models()] == ["echo"]
    await provider.probe()
    await provider.aclose()
    assert await provider.list_models()


async def embedded(*texts, **fields):
    request = EmbedRequest("echo", tuple(TextPart(text=text) for text in texts), **fields)
    return await EchoProvider("echo").embed(request, "echo")


def cosine(one, other):
    return sum(a * b for a, b in zip(one, other, strict=True))


@given(st.lists(st.text(max_size=30), min_size=1, max_size=4), st.integers(1, 300))
async def test_vectors_have_the_length_that_was_asked_for_and_one_in_space(texts, dimensions):
    vectors = (await embedded(*texts, dimensions=dimensions)).vectors
    assert [len(vector) for vector in vectors] == [dimensions] * len(texts)
    assert all(cosine(vector, vector) == pytest.approx(1.0, abs=1e-5) for vector in vectors)


async def test_texts_are_near_by_the_words_that_they_share():
    cat, cats, dog = (await embedded("the cat sat down", "down sat  the cat", "the dog sat down")).vectors
    (other,) = (await embedded("nothing alike")).vectors
    assert cat == cats
    assert 1 > cosine(cat, dog) == pytest.approx(0.75, abs=1e-5)
    assert cosine(cat, other) < 0.5
    assert len(cat) == 64


async def test_a_purpose_changes_nothing():
    assert (await embedded("a", purpose=EmbedPurpose.QUERY)).vectors == (await embedded("a")).vectors


async def test_vectors_and_prompts_are_counted_in_words():
    usage = (await embedded("one two", "three")).usage
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (3, 0, 3)
    assert usage.source is UsageSource.ESTIMATE
    request = asking(Message(Role.SYSTEM, (TextPart(text="Be brief."),)), user("How are", " you?"))
    answered = await EchoProvider("echo").chat(request, "echo")
    assert await EchoProvider("echo").count_tokens(request, "echo") == answered.usage.input_tokens == 5


async def test_another_model_makes_no_vectors_and_counts_nothing():
    with pytest.raises(ModelNotFound):
        await EchoProvider("echo").embed(EmbedRequest("m", (TextPart(text="a"),)), "other")
    with pytest.raises(ModelNotFound):
        await EchoProvider("echo").count_tokens(asking(user("a")), "other")
