"""Which generation a name stands for, however a vendor spells it."""

import pytest

from llmproxy_grpc.providers.anthropic_messages.generations import Sampling, Thinking, generation_of


@pytest.mark.parametrize(
    ("model", "thinking", "limit"),
    [
        ("claude-instant-1.2", Thinking.NONE, 4096),
        ("claude-3-haiku-20240307", Thinking.NONE, 4096),
        ("claude-3-5-sonnet-latest", Thinking.NONE, 8192),
        ("anthropic/claude-3.7-sonnet:thinking", Thinking.BUDGET, 64_000),
        ("claude-sonnet-4-0", Thinking.BUDGET, 64_000),
        ("claude-opus-4@20250514", Thinking.BUDGET, 32_000),
        ("claude-4-opus-20250514", Thinking.BUDGET, 32_000),
        ("claude-opus-4-1-20250805", Thinking.BUDGET, 32_000),
        ("claude-sonnet-4-5-20250929", Thinking.BUDGET, 64_000),
        ("anthropic/claude-haiku-4.5", Thinking.BUDGET, 64_000),
        ("claude-sonnet-4-6", Thinking.EITHER, 64_000),
        ("us.anthropic.claude-opus-4-6-v1", Thinking.EITHER, 128_000),
        ("anthropic/claude-opus-4.7", Thinking.ADAPTIVE, 128_000),
        ("claude-opus-5", Thinking.ADAPTIVE, 128_000),
        ("claude-mythos-preview", Thinking.ADAPTIVE, 128_000),
        ("claude-opus-latest", Thinking.ADAPTIVE, 128_000),
        ("smollm2", Thinking.BUDGET, 8192),
    ],
)
def test_a_name_tells_how_a_model_thinks_and_how_long_its_answers_are(model, thinking, limit):
    generation = generation_of(model)
    assert (generation.thinking, generation.most_output) == (thinking, limit)


@pytest.mark.parametrize(
    ("model", "unasked", "off", "forced_tools", "later_instructions"),
    [
        ("claude-haiku-4-5", False, "disabled", True, False),
        ("claude-opus-4-7", False, "disabled", True, False),
        ("claude-opus-4-8", False, "disabled", True, True),
        ("claude-sonnet-5", True, "disabled", True, False),
        ("claude-opus-5", True, "disabled", True, True),
        ("claude-haiku-5-5", True, "disabled", True, True),
        ("claude-sonnet-5-5", True, "between_tools", False, True),
        ("claude-opus-5-5", True, None, False, True),
        ("claude-fable-5", True, None, True, True),
        ("claude-fable-5-1", True, None, False, True),
        ("claude-opus-9", True, None, False, True),
        ("claude-novella-7", True, None, False, True),
    ],
)
def test_newer_generations_differ_in_what_they_refuse(model, unasked, off, forced_tools, later_instructions):
    generation = generation_of(model)
    assert (generation.thinks_unasked, generation.off) == (unasked, off)
    assert (generation.forced_tools, generation.later_instructions) == (forced_tools, later_instructions)


@pytest.mark.parametrize(
    ("model", "sampling"),
    [
        ("claude-opus-4-0", Sampling.ALL),
        ("claude-opus-4-1", Sampling.ONE_OF_TWO),
        ("claude-sonnet-4-6", Sampling.ONE_OF_TWO),
        ("claude-opus-4-7", Sampling.NONE),
        ("qwen3", Sampling.ALL),
    ],
)
def test_what_is_taken_of_sampling(model, sampling):
    assert generation_of(model).sampling is sampling


@pytest.mark.parametrize(
    ("model", "goes_on"),
    [
        ("claude-3-haiku-20240307", True),
        ("claude-3-7-sonnet-latest", True),
        ("claude-opus-4-1", True),
        ("claude-sonnet-4-5", True),
        ("claude-haiku-4-5", True),
        ("claude-sonnet-4-6", False),
        ("claude-opus-4-6", False),
        ("claude-opus-5", False),
        ("some-open-model", False),
    ],
)
def test_only_older_generations_go_on_with_an_answer_that_has_begun(model, goes_on):
    assert generation_of(model).prefill is goes_on
