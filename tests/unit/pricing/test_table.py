from datetime import date

import pytest

from llmproxy_grpc.config.schema import PriceConfig
from llmproxy_grpc.messages import Price, Rates
from llmproxy_grpc.pricing.shipped import Shipped, Vendor
from llmproxy_grpc.pricing.table import FREE, PriceTable

DAY = date(2026, 11, 25)


def row(models, dollars, **keys):
    return PriceConfig.model_validate(
        {"vendor": "acme", "models": models.split(), "input": dollars, "output": dollars, **keys}
    )


def table(*ships, over=()):
    return PriceTable(Shipped(DAY, {"acme": Vendor(), "ours": Vendor(free=True)}, ships), over)


def dollars(of, model, day=DAY, vendor="acme"):
    found = of.price(vendor, model, day)
    return found and found.rates.input / 10**9


SNAPSHOTS = ["m-2024-08-06", "m-20250929", "m@20250929"]
OTHERS = ["m-2", "m.2", "m-pro", "m-2-pro", "m-latest", "m-0613", "m-2024", "m-2024-08", "m-202508061", "am", "M", "m-"]
OTHERS += ["m-2024-08-06-preview", "m-2024-08-06 ", "m20250929", "m-٢٠٢٥٠٩٢٩", "", "m\n"]


@pytest.mark.parametrize("model", ["m", *SNAPSHOTS])
def test_a_row_prices_its_model_and_the_dated_snapshots_of_it(model):
    assert dollars(table(row("m", 1)), model) == 1


@pytest.mark.parametrize("model", OTHERS)
def test_a_row_never_prices_another_model_whose_name_begins_alike(model):
    assert table(row("m", 1)).price("acme", model, DAY) is None


def test_a_row_for_the_snapshot_itself_goes_before_that_of_the_model():
    of = table(row("m", 1), row("m-2024-05-13", 2))
    assert [dollars(of, model) for model in ("m", "m-2024-05-13", "m-2024-08-06")] == [1, 2, 1]


def test_a_price_is_that_of_its_vendor_alone():
    assert table(row("m", 1)).price("other", "m", DAY) is None


def test_the_latest_price_that_has_begun_holds_whatever_the_order_of_the_rows():
    of = table(row("m", 2, since="2026-02-01"), row("m", 1), row("m", 3, since="2026-03-01"))
    assert [dollars(of, "m", date(2026, *day)) for day in ((1, 31), (2, 1), (2, 28), (3, 1))] == [1, 2, 2, 3]


def test_before_its_first_price_a_model_has_none():
    assert table(row("m", 2, since="2026-02-01")).price("acme", "m", date(2026, 1, 31)) is None


def test_the_operators_rows_take_the_place_of_all_that_ships_for_their_models():
    of = table(row("m n", 1), row("m", 9, since="2026-01-01"), over=(row("m", 5),))
    assert (dollars(of, "m"), dollars(of, "n")) == (5, 1)


def test_the_operators_rows_may_bring_a_vendor_of_their_own():
    of = table(over=(row("gpt-prod", 5, vendor="azure"),))
    assert dollars(of, "gpt-prod", vendor="azure") == 5
    assert of.names() == ["acme", "azure", "ours"]
    assert of.knows("azure")
    assert not of.knows("nobody")


def test_what_nobody_bills_is_free_and_a_model_with_a_price_is_not():
    of = table(over=(row("m", 5, vendor="ours"),))
    assert of.price("ours", "anything", DAY) == FREE
    assert dollars(of, "m", vendor="ours") == 5


def test_what_a_row_leaves_out_costs_what_is_next_to_it():
    one = table(row("m", 3)).price("acme", "m", DAY)
    three = 3_000_000_000
    assert one == Price("USD", Rates(**dict.fromkeys(Rates.__struct_fields__, three)))
    written = table(row("m", 3, cache_write="3.75")).price("acme", "m", DAY).rates
    assert (written.cached_input, written.cache_write, written.cache_write_1h) == (three, 3_750_000_000, 3_750_000_000)


def test_what_a_row_says_is_free_costs_nothing():
    nothing = dict.fromkeys(("cached_input", "cache_write", "cache_write_1h", "audio_input"), 0)
    rates = table(row("m", 3, **nothing)).price("acme", "m", DAY).rates
    assert {name: getattr(rates, name) for name in nothing} == nothing
    assert (rates.input, rates.output) == (3_000_000_000, 3_000_000_000)
    hour = table(row("m", 3, cache_write=4, cache_write_1h=0)).price("acme", "m", DAY).rates
    assert (hour.cache_write, hour.cache_write_1h) == (4_000_000_000, 0)


def test_a_snapshot_with_a_row_of_its_own_has_no_price_before_that_begins():
    of = table(row("m", 1), row("m-2026-03-01", 2, since="2026-03-01"))
    days = (date(2026, 2, 28), date(2026, 3, 1))
    assert [dollars(of, "m-2026-03-01", day) for day in days] == [None, 2]


def test_amounts_are_exact_to_the_billionth():
    rates = table(row("m", 0.0875, output=1e-9, currency="EUR")).price("acme", "m", DAY)
    assert (rates.currency_code, rates.rates.input, rates.rates.output) == ("EUR", 87_500_000, 1)


def test_tiers_have_rates_of_their_own():
    tier = {"above": 100, "input": 6, "output": 22.5, "cached_input": 0.6}
    (found,) = table(row("m", 3, tiers=[tier])).price("acme", "m", DAY).tiers
    assert (found.above, found.rates.input, found.rates.cached_input) == (100, 6_000_000_000, 600_000_000)
    assert found.rates.cache_write == 6_000_000_000
