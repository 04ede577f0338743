import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy_grpc.messages import Cost
from llmproxy_grpc.providers.chat_completions.cost import read_cost
from llmproxy_grpc.providers.chat_completions.usage import read_usage

ABSURD = [None, True, "1.5", -1, -0.1, float("nan"), float("inf"), 1e7, 10**30, [], {}]


@pytest.mark.parametrize(
    ("usage", "nanos"),
    [
        ({"cost": 0.00014}, 140_000),
        ({"cost": 0}, 0),
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
