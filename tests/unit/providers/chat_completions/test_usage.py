from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy_grpc.messages import Modality, ModalityTokens, Usage, UsageSource
from llmproxy_grpc.providers.chat_completions.usage import read_usage
from llmproxy_grpc.providers.counts import LARGEST_COUNT


def usage(**raw: Any) -> Usage:
    read = read_usage(raw)
    assert read is not None
    return read


def test_openai_counts_thinking_and_cached_tokens_within():
    assert usage(
        prompt_tokens=100,
        completion_tokens=50,
        total_tokens=150,
        prompt_tokens_details={"cached_tokens": 80, "cache_write_tokens": 10, "audio_tokens": 0},
        completion_tokens_details={"reasoning_tokens": 30, "audio_tokens": 0},
    ) == Usage(100, 50, 150, 80, 10, 30, source=UsageSource.PROVIDER)


def test_xai_counts_thinking_beside_the_completion():
    read = usage(
        prompt_tokens=32,
        completion_tokens=9,
        total_tokens=135,
        completion_tokens_details={"reasoning_tokens": 94},
    )
    assert (read.output_tokens, read.reasoning_tokens, read.total_tokens) == (103, 94, 135)


def test_thinking_is_not_added_where_the_total_says_that_it_is_within():
    read = usage(
        prompt_tokens=32, completion_tokens=100, total_tokens=132, completion_tokens_details={"reasoning_tokens": 94}
    )
    assert read.output_tokens == 100


def test_a_lying_total_changes_nothing():
    read = usage(prompt_tokens=3, completion_tokens=4, total_tokens=1000)
    assert (read.input_tokens, read.output_tokens, read.total_tokens) == (3, 4, 7)


def test_deepseek_names_hits_and_misses_of_its_cache():
    read = usage(
        prompt_tokens=12, completion_tokens=1, total_tokens=13, prompt_cache_hit_tokens=8, prompt_cache_miss_tokens=4
    )
    assert (read.input_tokens, read.cached_input_tokens) == (12, 8)
    assert usage(completion_tokens=1, prompt_cache_hit_tokens=8, prompt_cache_miss_tokens=4).input_tokens == 12


@pytest.mark.parametrize(
    ("told", "details", "written", "for_an_hour"),
    [
        ({}, {"cache_write_tokens": 20}, 20, 0),
        ({}, {"cache_creation_tokens": 20}, 20, 0),
        ({"cache_creation_input_tokens": 20}, {}, 20, 0),
        ({"cache_creation_input_tokens": 20}, {"cache_creation_tokens": 20, "cache_write_tokens": 20}, 20, 0),
        ({}, {"cache_creation_tokens": 20, "cache_creation_token_details": {"ephemeral_1h_input_tokens": 5}}, 20, 5),
        ({}, {"cache_creation_token_details": {"ephemeral_1h_input_tokens": 5}}, 0, 0),
        ({}, {"cache_creation_tokens": None, "cache_creation_token_details": None}, 0, 0),
    ],
)
def test_what_was_written_to_the_cache_is_a_part_of_the_prompt(told, details, written, for_an_hour):
    read = usage(
        prompt_tokens=130,
        completion_tokens=25,
        total_tokens=155,
        cache_read_input_tokens=10,
        prompt_tokens_details={"cached_tokens": 10, **details},
        **told,
    )
    assert read == Usage(130, 25, 155, 10, written, cache_write_1h_input_tokens=for_an_hour)


def test_names_of_another_api_that_count_beside_the_prompt_are_not_taken_for_a_part_of_it():
    assert usage(input_tokens=5, output_tokens=6, cache_creation_input_tokens=4).cache_write_input_tokens == 0


def test_a_missing_half_follows_from_the_total():
    assert usage(prompt_tokens=3, total_tokens=10).output_tokens == 7
    assert usage(completion_tokens=3, total_tokens=10).input_tokens == 7


def test_the_names_of_the_newer_api_are_understood():
    read = usage(input_tokens=5, output_tokens=6, input_tokens_details={"cached_tokens": 2})
    assert (read.input_tokens, read.output_tokens, read.cached_input_tokens) == (5, 6, 2)


def test_perplexitys_names_within_the_prompt_are_understood():
    details = {"cache_read_input_tokens": 2, "cache_creation_input_tokens": 1}
    read = usage(input_tokens=5, output_tokens=6, total_tokens=11, input_tokens_details=details)
    assert (read.input_tokens, read.cached_input_tokens, read.cache_write_input_tokens) == (5, 2, 1)


def test_other_kinds_of_content_are_told_apart():
    read = usage(
        prompt_tokens=10,
        completion_tokens=5,
        prompt_tokens_details={"audio_tokens": 4, "image_tokens": 3},
        completion_tokens_details={"audio_tokens": 2},
    )
    assert read.modality_tokens == (ModalityTokens(Modality.AUDIO, 4, 2), ModalityTokens(Modality.IMAGE, 3, 0))


@pytest.mark.parametrize("raw", [None, {}, [], "12", 7, {"cost": 1.5}, {"prompt_tokens_details": None}])
def test_no_counts_are_no_usage(raw):
    assert read_usage(raw) is None


@pytest.mark.parametrize("prompt", [{}, *({"prompt_tokens": value} for value in (0, -5, 0.4, True, "12", None, []))])
@pytest.mark.parametrize("answer", [0, 7])
def test_no_prompt_is_without_tokens(prompt, answer):
    assert read_usage({**prompt, "completion_tokens": answer, "total_tokens": answer}) is None


@pytest.mark.parametrize("value", [12.0, 12.9, 2**40, 1e300])
def test_absurd_counts_are_clipped(value):
    assert usage(prompt_tokens=value, completion_tokens=1).input_tokens == min(int(value), LARGEST_COUNT)


def test_a_part_is_never_more_than_the_whole():
    read = usage(
        prompt_tokens=5,
        completion_tokens=5,
        total_tokens=10,
        prompt_tokens_details={"cached_tokens": 99, "cache_write_tokens": 99},
        completion_tokens_details={"reasoning_tokens": 99},
    )
    assert (read.cached_input_tokens, read.cache_write_input_tokens, read.reasoning_tokens) == (5, 5, 5)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["cached_tokens", "reasoning_tokens", "audio_tokens", "cache_write_tokens"]), inner
        )
    ),
    max_leaves=5,
)
names = st.sampled_from(
    [
        "prompt_tokens",
        "completion_tokens",
        "total_tokens",
        "prompt_tokens_details",
        "completion_tokens_details",
        "prompt_cache_hit_tokens",
        "prompt_cache_miss_tokens",
        "reasoning_tokens",
    ]
)


@given(st.dictionaries(names, json_values))
def test_whatever_a_provider_counts_fits_the_api(raw):
    read = read_usage(raw)
    if read is None:
        return
    counts = (read.input_tokens, read.output_tokens, read.total_tokens, read.cached_input_tokens, read.reasoning_tokens)
    assert all(isinstance(count, int) and 0 <= count <= LARGEST_COUNT for count in counts)
    assert read.cached_input_tokens <= read.input_tokens
    assert read.reasoning_tokens <= read.output_tokens
