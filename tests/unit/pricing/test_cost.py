from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from llmproxy_grpc.messages import Cost, Modality, ModalityTokens, Price, PriceTier, Rates, Usage
from llmproxy_grpc.pricing.cost import cost_of

LARGEST = 2**31 - 1
COUNTS = st.integers(0, LARGEST)
AMOUNTS = st.integers(0, 10**15)
RATES = st.builds(
    Rates,
    input=AMOUNTS,
    output=AMOUNTS,
    cached_input=AMOUNTS,
    cache_write=AMOUNTS,
    cache_write_1h=AMOUNTS,
    audio_input=AMOUNTS,
)
USAGES = st.builds(
    Usage,
    COUNTS,
    COUNTS,
    cached_input_tokens=COUNTS,
    cache_write_input_tokens=COUNTS,
    cache_write_1h_input_tokens=COUNTS,
    modality_tokens=st.lists(st.builds(ModalityTokens, st.just(Modality.AUDIO), COUNTS), max_size=2).map(tuple),
)


def rates(**given_rates):
    usual = dict.fromkeys(Rates.__struct_fields__, 1_000_000_000)
    return Rates(**{**usual, **given_rates})


def price(*tiers, **given_rates):
    return Price("USD", rates(**given_rates), tiers)


def nanos(usage, of):
    return cost_of(usage, of).amount_nanos


@given(USAGES, RATES)
def test_a_cost_is_never_negative_and_fits_the_api(usage, some_rates):
    assert 0 <= nanos(usage, Price("USD", some_rates)) < 2**63


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)), max_size=5), RATES)
def test_the_cost_of_calls_together_is_the_sum_but_for_rounding(calls, some_rates):
    of = Price("USD", some_rates)
    together = nanos(Usage(sum(read for read, _ in calls), sum(written for _, written in calls)), of)
    assert abs(together - sum(nanos(Usage(*call), of) for call in calls)) <= (len(calls) + 1) / 2


@given(USAGES, RATES)
def test_no_part_of_the_prompt_is_paid_twice(usage, some_rates):
    prompt = (some_rates.input, some_rates.cached_input, some_rates.cache_write, some_rates.cache_write_1h)
    dearest = max(*prompt, some_rates.audio_input)
    cheapest = min(*prompt, some_rates.audio_input)
    exact = Fraction(nanos(usage, Price("USD", replace(some_rates, output=0))) * 1_000_000)
    assert cheapest * usage.input_tokens - 500_000 <= exact <= dearest * usage.input_tokens + 500_000


@given(USAGES, st.integers(0, 10**9), st.integers(0, 10**9))
def test_what_is_cached_costs_no_more_where_its_rate_is_no_higher(usage, cached_rate, more):
    of = price(cached_input=cached_rate, input=cached_rate + more, audio_input=cached_rate + more)
    plain = replace(usage, cache_write_input_tokens=0, cache_write_1h_input_tokens=0)
    assert nanos(plain, of) <= nanos(replace(plain, cached_input_tokens=0), of)


@given(USAGES, RATES)
def test_the_rates_of_a_tier_hold_for_the_whole_call_and_only_above_its_bound(usage, some_rates):
    dear = rates(input=7_000_000_000)
    tiered = Price("USD", some_rates, (PriceTier(1000, dear),))
    alone = Price("USD", dear if usage.input_tokens > 1000 else some_rates)
    assert cost_of(usage, tiered) == cost_of(usage, alone)


def test_the_last_tier_that_a_prompt_exceeds_holds():
    of = price(PriceTier(10, rates(input=2_000_000)), PriceTier(20, rates(input=3_000_000)), input=1_000_000)
    assert [nanos(Usage(read), of) for read in (10, 11, 20, 21)] == [10, 22, 40, 63]


@pytest.mark.parametrize(("rate", "expected"), [(499_999, 0), (500_000, 1), (1_499_999, 1), (1_500_000, 2)])
def test_a_cost_is_rounded_to_the_nearest_billionth_halves_up(rate, expected):
    assert nanos(Usage(1), price(input=rate)) == expected


@pytest.mark.parametrize("modality", [Modality.AUDIO, Modality.IMAGE, Modality.VIDEO])
def test_output_other_than_text_has_no_price(modality):
    assert cost_of(Usage(1, 1, modality_tokens=(ModalityTokens(modality, 0, 1),)), price()) is None


def test_text_and_media_in_the_prompt_have_one():
    parts = (ModalityTokens(Modality.TEXT, 1, 1), ModalityTokens(Modality.IMAGE, 5))
    assert cost_of(Usage(1000, 1, modality_tokens=parts), price()) == Cost("USD", 1_001_000)


def test_sound_alone_has_the_rate_of_sound_all_of_it():
    parts = (ModalityTokens(Modality.AUDIO, 10), ModalityTokens(Modality.IMAGE, 100), ModalityTokens(Modality.AUDIO, 5))
    assert nanos(Usage(1000, modality_tokens=parts), price(input=1_000_000, audio_input=9_000_000)) == 985 + 15 * 9


def test_thinking_is_part_of_the_output_and_is_not_paid_twice():
    of = price(output=2_000_000)
    assert nanos(Usage(0, 10, reasoning_tokens=7), of) == nanos(Usage(0, 10), of) == 20


def test_a_cost_has_the_currency_of_its_price():
    assert cost_of(Usage(1_000_000), Price("EUR", rates(input=5))) == Cost("EUR", 5)


def test_parts_that_exceed_the_whole_are_clipped():
    usage = Usage(10, cached_input_tokens=8, cache_write_input_tokens=8, cache_write_1h_input_tokens=8)
    of = price(input=0, cached_input=1_000_000, cache_write=0, cache_write_1h=100_000_000)
    assert nanos(usage, of) == 8 + 200
