from datetime import UTC, date, datetime

from msgspec.structs import replace

from llmproxy_grpc.config.schema import PriceConfig, ProviderConfig
from llmproxy_grpc.messages import Cost, Usage
from llmproxy_grpc.pricing.prices import DAY, MOST_TARGETS, UNKNOWN, Prices, Quote
from llmproxy_grpc.pricing.shipped import Shipped, Vendor
from llmproxy_grpc.pricing.table import FREE, PriceTable

VENDORS = {
    "acme": Vendor(),
    "lister": Vendor(lists_prices=True, reports_cost=True),
    "teller": Vendor(reports_cost=True),
    "free": Vendor(free=True),
}
ROWS = [
    {"vendor": "acme", "models": ["m"], "input": 1, "output": 2},
    {"vendor": "acme", "models": ["m"], "since": "2026-12-01", "input": 10, "output": 20},
    {"vendor": "lister", "models": ["m"], "input": 1, "output": 2},
    {"vendor": "teller", "models": ["m"], "input": 1, "output": 2},
]
LISTED = {(provider, model): FREE for provider in ("lister-1", "acme-1") for model in ("m", "n")}
USED = Usage(1_000_000, 1_000_000)


class Asked(PriceTable):
    """A table that counts how often it is asked."""

    def __init__(self):
        super().__init__(Shipped(date(2026, 11, 25), VENDORS, tuple(map(PriceConfig.model_validate, ROWS))))
        self.asked = 0

    def price(self, vendor, upstream_model, day):
        self.asked += 1
        return super().price(vendor, upstream_model, day)


class Clock:
    def __init__(self, *moment):
        self.now = datetime(*moment, tzinfo=UTC).timestamp()

    def __call__(self):
        return self.now


def prices(clock=None, table=None):
    providers = [ProviderConfig(name=f"{name}-1", kind="openai", prices=name) for name in VENDORS]
    providers.append(ProviderConfig(name="unknown", kind="openai", base_url="http://10.0.0.1"))
    return Prices(
        table or Asked(), providers, listed=lambda *target: LISTED.get(target), clock=clock or Clock(2026, 11, 25)
    )


def test_the_cost_is_put_on_the_usage():
    usage = prices().quote("acme-1", "m").put_on(USED)
    assert usage.cost == Cost("USD", 3_000_000_000)
    assert (usage.input_tokens, usage.output_tokens) == (1_000_000, 1_000_000)


def test_what_is_charged_at_other_rates_has_no_cost_unless_its_vendor_tells_it():
    used = replace(USED, at_other_rates=True)
    told = replace(used, cost=Cost("USD", 7))
    assert prices().quote("acme-1", "m").put_on(used).cost is None
    assert prices().quote("acme-1", "m").put_on(told).cost is None
    assert prices().quote("teller-1", "m").put_on(told).cost == Cost("USD", 7)
    assert prices().quote("free-1", "m").put_on(used).cost == Cost("USD", 0)


def test_an_unknown_price_leaves_the_cost_unset():
    for target in (("acme-1", "new-model"), ("unknown", "m"), ("nobody", "m")):
        quote = prices().quote(*target)
        assert quote == UNKNOWN
        assert quote.put_on(USED) is USED


def test_free_of_charge_is_a_cost_of_zero():
    assert prices().quote("free-1", "anything").put_on(USED).cost == Cost("USD", 0)


def test_a_charge_that_a_vendor_reports_goes_before_the_table():
    told = Usage(1, 1, cost=Cost("USD", 7))
    quote = prices().quote("teller-1", "m")
    assert quote.put_on(told) is told
    assert quote.put_on(USED).cost == Cost("USD", 3_000_000_000)


def test_a_charge_told_by_one_who_is_not_known_to_report_it_counts_for_nothing():
    told = Usage(1_000_000, 0, cost=Cost("USD", 7))
    assert prices().quote("acme-1", "m").put_on(told).cost == Cost("USD", 1_000_000_000)
    assert prices().quote("unknown", "m").put_on(told).cost is None


def test_a_target_is_looked_up_once_a_day_and_the_price_changes_at_midnight():
    clock, table = Clock(2026, 11, 30, 23, 59, 59), Asked()
    of = prices(clock, table)
    assert [of.quote("acme-1", "m").put_on(USED).cost.amount_nanos for _ in range(3)] == [3_000_000_000] * 3
    assert table.asked == 1
    clock.now += 1
    assert of.quote("acme-1", "m").put_on(USED).cost.amount_nanos == 30_000_000_000
    assert table.asked == 2
    clock.now += DAY
    of.quote("acme-1", "m")
    assert table.asked == 3


def test_names_that_callers_make_up_take_bounded_memory():
    of = prices()
    for number in range(MOST_TARGETS + 5):
        of.quote("acme-1", f"made-up-{number}")
    assert len(of._quotes) <= MOST_TARGETS


def test_a_quote_of_nothing_changes_nothing():
    assert Quote(FREE).put_on(Usage(1, 1, cost=Cost("USD", 0))) == Usage(1, 1, cost=Cost("USD", 0))


def test_the_price_in_a_vendors_own_list_holds_where_no_row_does():
    of = prices()
    assert of.quote("lister-1", "n") == Quote(FREE, reported=True)
    assert of.quote("lister-1", "m").price.rates.input == 1_000_000_000
    assert of.quote("lister-1", "unlisted") == Quote(None, reported=True)


def test_the_list_of_one_who_is_not_known_for_it_prices_nothing():
    assert prices().quote("acme-1", "n") == UNKNOWN


def test_a_price_in_a_list_is_that_of_the_newest_list():
    listed = {}
    providers = [ProviderConfig(name="p", kind="openai", prices="lister")]
    of = Prices(Asked(), providers, listed=lambda *target: listed.get(target), clock=Clock(2026, 11, 25))
    assert of.quote("p", "n").price is None
    listed["p", "n"] = FREE
    assert of.quote("p", "n").price is FREE
