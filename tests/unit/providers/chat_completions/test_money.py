import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy_grpc.messages import Cost
from llmproxy_grpc.providers.chat_completions.money import read_cost, read_price
from llmproxy_grpc.providers.chat_completions.usage import read_usage

ABSURD = [None, True, "x", "nan", "1" * 50, -1, -0.1, float("nan"), float("inf"), 1e7, 10**30, [], {}]


@pytest.mark.parametrize(
    ("usage", "nanos"),
    [
        ({"cost": 0.00014}, 140_000),
        ({"cost": 0}, 0),
        ({"cost": {"input_cost": 0.000004, "total_cost": 0.00515, "currency": "USD"}}, 5_150_000),
        ({"cost": {"input_tokens_cost": 0.1, "request_cost": 0.005, "total_cost": 0.105}}, 105_000_000),
        ({"cost": 2}, 2_000_000_000),
        ({"cost": 1.4999999999e-9}, 1),
        ({"cost": 1.5e-9}, 2),
        ({"cost": 0.05, "is_byok": True, "cost_details": {"upstream_inference_cost": 1}}, 1_050_000_000),
        ({"cost": 0.05, "is_byok": False, "cost_details": {"upstream_inference_cost": 0.05}}, 50_000_000),
        ({"cost_in_usd_ticks": 37_756_000}, 3_775_600),
        ({"cost_in_usd_ticks": 14}, 1),
        ({"cost_in_usd_ticks": 15}, 2),
        ({"cost_in_usd_ticks": 0, "cost": 5}, 0),
    ],
)
def test_a_charge_is_read_in_billionths_of_a_dollar(usage, nanos):
    assert read_cost(usage) == Cost("USD", nanos)


@pytest.mark.parametrize("value", ABSURD)
def test_a_charge_that_cannot_be_is_none(value):
    assert read_cost({"cost": value}) is None
    assert read_cost({"cost": {"total_cost": value}}) is None
    assert read_cost({"cost_in_usd_ticks": value}) is None
    assert read_cost({"cost": 1, "is_byok": True, "cost_details": {"upstream_inference_cost": value}}) is None


@pytest.mark.parametrize("details", [None, "x", [], {}])
def test_the_fee_for_a_key_of_ones_own_is_not_the_whole_charge(details):
    assert read_cost({"cost": 1, "is_byok": True, "cost_details": details}) is None


@given(st.dictionaries(st.sampled_from(["cost", "cost_in_usd_ticks", "is_byok", "cost_details"]), st.from_type(object)))
def test_whatever_is_said_a_charge_fits_the_api(usage):
    cost = read_cost(usage)
    assert cost is None or 0 <= cost.amount_nanos < 2**63


def test_the_charge_is_part_of_the_usage():
    tokens = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    assert read_usage({**tokens, "cost": 0.5}).cost == Cost("USD", 500_000_000)
    assert read_usage(tokens).cost is None


def rates(pricing):
    price = read_price(pricing)
    if price is None:
        return None
    assert price.currency_code == "USD"
    told = price.rates
    assert told.cache_write == told.cache_write_1h
    return [rate / 10**9 for rate in (told.input, told.output, told.cached_input, told.cache_write, told.audio_input)]


@pytest.mark.parametrize(
    ("pricing", "expected"),
    [
        ({"prompt": "0.00000125", "completion": "0.00001"}, [1.25, 10, 1.25, 1.25, 1.25]),
        (
            {
                "prompt": "0.000003",
                "completion": "0.000015",
                "request": "0",
                "image": "0.0048",
                "internal_reasoning": "0.000015",
                "input_cache_read": "0.0000003",
                "input_cache_write": "0.00000375",
                "audio": "0.000001",
            },
            [3, 15, 0.3, 3.75, 1],
        ),
        ({"prompt": "0", "completion": "0"}, [0, 0, 0, 0, 0]),
        ({"prompt": "0.000001", "completion": "0.000001", "input_cache_write": "0"}, [1, 1, 1, 1, 1]),
        ({"hourly": 0, "input": 0.9, "output": 0.9, "base": 0, "finetune": 0}, [0.9, 0.9, 0.9, 0.9, 0.9]),
        ({"input": 1, "output": 2, "cached_input": 0.5}, [1, 2, 0.5, 1, 1]),
    ],
)
def test_a_listed_price_is_read_for_a_million_tokens(pricing, expected):
    assert rates(pricing) == expected


@pytest.mark.parametrize(
    "pricing",
    [
        None,
        [],
        "free",
        {},
        {"prompt": "-1", "completion": "-1"},
        {"prompt": "0.000001"},
        {"prompt": "0.000001", "completion": "x"},
        {"prompt": "2", "completion": "0.1"},
        {"prompt": "0.000001", "completion": "0.000001", "request": "0.01"},
        {"prompt": "0.000001", "completion": "0.000001", "request": "x"},
        {"prompt": "0.000001", "completion": "0.000001", "internal_reasoning": "0.000003"},
        {"hourly": 3.5, "input": 0.9, "output": 0.9},
        {"hourly": 0, "input": 0, "output": 0},
        {"input": 0.9},
    ],
)
def test_what_is_no_price_of_tokens_alone_is_none(pricing):
    assert read_price(pricing) is None


NAMES = ["prompt", "completion", "request", "audio", "input", "output", "hourly", "internal_reasoning"]
VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | st.decimals().map(str)


@given(st.dictionaries(st.sampled_from(NAMES), VALUES))
def test_whatever_a_list_says_a_price_fits_the_api(pricing):
    price = read_price(pricing)
    assert price is None or all(0 <= getattr(price.rates, name) < 2**63 for name in price.rates.__struct_fields__)
