"""What every provider promises, whatever its kind."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from itertools import pairwise

import pytest

from llmproxy_grpc.errors import CapabilityNotSupported, UnsupportedParameter
from llmproxy_grpc.messages import (
    CandidateFinish,
    Delta,
    EmbedRequest,
    FinishReason,
    GenerationConfig,
    Message,
    OpaquePart,
    Role,
    TextPart,
    UpstreamEnd,
    UpstreamStart,
)
from llmproxy_grpc.providers.provider import Provider
from tests.providers.conversations import ask, assembled, collected
from tests.providers.kinds import SPECIMENS
from tests.providers.specimen import Specimen


@pytest.fixture(params=SPECIMENS, ids=lambda specimen: specimen.name)
def specimen(request: pytest.FixtureRequest) -> Specimen:
    return request.param


@pytest.fixture
async def provider(specimen: Specimen) -> AsyncIterator[Provider]:
    async with specimen.open() as opened:
        yield opened


async def test_a_provider_says_who_it_is(provider, specimen):
    assert provider.name == "specimen"
    assert provider.kind == specimen.kind


async def test_chat_gives_one_answer_with_a_reason_and_usage(provider, specimen):
    response = await provider.chat(ask("One two three"), specimen.model)
    (candidate,) = response.candidates
    assert candidate.index == 0
    assert candidate.message.role is Role.ASSISTANT
    assert candidate.finish_reason is FinishReason.STOP
    assert response.usage is not None
    assert response.usage.total_tokens == response.usage.input_tokens + response.usage.output_tokens > 0


async def test_a_stream_says_the_same_as_chat(provider, specimen):
    streamed = assembled(await collected(provider.stream(ask("One two three"), specimen.model)))
    answered = await provider.chat(ask("One two three"), specimen.model)
    assert streamed.candidates == answered.candidates
    assert streamed.usage == answered.usage


async def test_a_stream_begins_with_its_start_and_ends_with_its_end(provider, specimen):
    events = await collected(provider.stream(ask("One two three"), specimen.model))
    assert isinstance(events[0], UpstreamStart)
    assert isinstance(events[-1], UpstreamEnd)
    assert sum(isinstance(event, UpstreamStart | UpstreamEnd) for event in events) == 2
    assert all(
        not isinstance(later, Delta)
        for before, later in pairwise(events)
        if isinstance(before, CandidateFinish) and not isinstance(later, CandidateFinish)
    )


async def test_an_empty_text_is_answered_as_well(provider, specimen):
    assert (await provider.chat(ask(""), specimen.model)).candidates
    assert assembled(await collected(provider.stream(ask(""), specimen.model))).candidates


async def test_its_models_are_listed(provider, specimen):
    assert specimen.model in [model.name for model in await provider.list_models()]


async def test_a_probe_of_a_healthy_provider_passes(provider):
    await provider.probe()


async def test_nothing_is_unsupported_in_a_plain_request(provider, specimen):
    request = ask(generation=GenerationConfig(temperature=0.0, max_output_tokens=50))
    adapted = provider.adapt(request, specimen.model)
    assert adapted.request is request or adapted.request == request
    assert adapted.unsupported == ()


async def test_what_is_unsupported_is_named_by_its_path(provider, specimen):
    block = OpaquePart(provider_kind="another", type="thing", value={})
    request = ask(messages=(Message(Role.USER, (TextPart(text="?"), block)),))
    adapted = provider.adapt(request, specimen.model)
    if not specimen.names_unsupported:
        with pytest.raises(UnsupportedParameter) as caught:
            await provider.chat(adapted.request, specimen.model)
        assert [violation.field for violation in caught.value.violations] == ["messages[0].parts[1].opaque"]
        return
    assert [found.field for found in adapted.unsupported] == ["messages[0].parts[1].opaque"]
    assert (await provider.chat(adapted.request, specimen.model)).candidates


async def test_many_calls_at_a_time_do_not_mix(provider, specimen):
    texts = [f"word{number}" for number in range(20)]
    responses = await asyncio.gather(*(provider.chat(ask(text), specimen.model) for text in texts))
    assert [response.candidates[0].message.parts[0].text for response in responses] == texts


async def test_a_stream_may_be_left_at_any_time(provider, specimen):
    async with aclosing(provider.stream(ask("One two three"), specimen.model)) as unread:
        pass
    async with aclosing(unread):
        pass
    async with aclosing(provider.stream(ask("One two three"), specimen.model)) as begun:
        assert isinstance((await anext(begun))[0], UpstreamStart)
    assert assembled(await collected(provider.stream(ask("One two three"), specimen.model))).candidates


def model_of(specimen):
    """The model that makes vectors, if any does."""
    return specimen.embed_model or specimen.model


def embed(*texts):
    return EmbedRequest("requested", tuple(TextPart(text=text) for text in texts))


async def test_each_input_gets_a_vector_in_order_or_the_features_say_that_it_makes_none(provider, specimen):
    if provider.features(model_of(specimen)).embed is None:
        with pytest.raises(CapabilityNotSupported):
            await provider.embed(embed("one"), model_of(specimen))
        return
    response = await provider.embed(embed("one", "two three", "one"), model_of(specimen))
    first, second, third = response.vectors
    assert first == third != second
    assert {(vector.typecode, len(vector)) for vector in response.vectors} == {("f", len(first))}
    assert len(first) > 0
    assert response.usage is None or response.usage.total_tokens == response.usage.input_tokens > 0


async def test_a_single_input_has_the_same_vector_as_among_others(provider, specimen):
    if provider.features(model_of(specimen)).embed is not None:
        alone = await provider.embed(embed("two three"), model_of(specimen))
        among = await provider.embed(embed("one", "two three"), model_of(specimen))
        assert alone.vectors[0] == among.vectors[1]


async def test_a_longer_prompt_has_more_tokens_or_the_features_say_that_it_counts_none(provider, specimen):
    if not provider.features(specimen.model).count_tokens:
        with pytest.raises(CapabilityNotSupported):
            await provider.count_tokens(ask(), specimen.model)
        return
    short = await provider.count_tokens(ask("One two three"), specimen.model)
    long = await provider.count_tokens(ask("One two three four five six"), specimen.model)
    assert 0 < short < long
