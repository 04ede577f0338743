"""Usages and what their vendors would charge, worked out by hand."""

from datetime import date
from decimal import Decimal

import pytest

from llmproxy_grpc.messages import Modality, ModalityTokens, Usage
from llmproxy_grpc.pricing.cost import cost_of
from llmproxy_grpc.pricing.shipped import shipped
from llmproxy_grpc.pricing.table import PriceTable

DAY = date(2026, 11, 25)


def used(read, written, cached=0, cache_write=0, hour=0, audio=0):
    sound = (ModalityTokens(Modality.AUDIO, audio),) if audio else ()
    return Usage(
        read,
        written,
        read + written,
        cached_input_tokens=cached,
        cache_write_input_tokens=cache_write,
        cache_write_1h_input_tokens=hour,
        modality_tokens=sound,
    )


INVOICE = [
    # 4,000 x 0.25 + 8,000 x 0.025 + 1,500 x 2
    ("openai", "gpt-5-mini", DAY, used(12_000, 1_500, cached=8_000), "0.0042"),
    # a snapshot costs what the model costs: 1,000 x 2.5 + 1,000 x 10
    ("openai", "gpt-4o-2024-08-06", DAY, used(1_000, 1_000), "0.0125"),
    # unless the vendor says otherwise: 1,000 x 5 + 1,000 x 15
    ("openai", "gpt-4o-2024-05-13", DAY, used(1_000, 1_000), "0.02"),
    # no discount for what is cached: 1,000 x 21 + 10 x 168
    ("openai", "gpt-5.2-pro", DAY, used(1_000, 10, cached=500), "0.02268"),
    # a long prompt: 40,000 x 4 + 250,000 x 0.2 + 10,000 x 5 + 4,000 x 15
    ("openai", "gpt-6.1-sol", DAY, used(300_000, 4_000, cached=250_000, cache_write=10_000), "0.32"),
    ("openai", "text-embedding-3-small", DAY, used(1_000_000, 0), "0.02"),
    # 4,000 x 3 + 20,000 x 0.3 + 4,000 x 3.75 + 2,000 x 6 + 1,000 x 15
    (
        "anthropic",
        "claude-sonnet-4-5-20250929",
        DAY,
        used(30_000, 1_000, cached=20_000, cache_write=6_000, hour=2_000),
        "0.06",
    ),
    # a long prompt: 50,000 x 0.5 + 100,000 x 0.05 + 2,000 x 2.5
    ("anthropic", "claude-haiku-5-5", DAY, used(150_000, 2_000, cached=100_000), "0.035"),
    # the last short prompt: 200,000 x 1.25 + 1,000 x 10
    ("gemini", "gemini-2.5-pro", DAY, used(200_000, 1_000), "0.26"),
    # and the first long one, dear from its first token on: 200,001 x 2.5 + 1,000 x 15
    ("gemini", "gemini-2.5-pro", DAY, used(200_001, 1_000), "0.5150025"),
    # with sound: 6,000 x 0.3 + 4,000 x 1 + 500 x 2.5
    ("gemini", "gemini-2.5-flash", DAY, used(10_000, 500, audio=4_000), "0.00705"),
    # of which the text was cached: 4,000 x 1 + 6,000 x 0.03
    ("gemini", "gemini-2.5-flash", DAY, used(10_000, 0, cached=6_000, audio=4_000), "0.00418"),
    # the last day of a price, and the first of the next
    ("gemini", "gemini-4-argon", date(2026, 11, 30), used(1_000_000, 100_000), "3"),
    ("gemini", "gemini-4-argon", date(2026, 12, 1), used(1_000_000, 100_000), "6"),
    # a geography costs a tenth more: 1,000 x 1.1 + 1,000 x 5.5
    ("bedrock", "us.anthropic.claude-haiku-4-5-20251001-v1:0", DAY, used(1_000, 1_000), "0.0066"),
    ("bedrock", "global.anthropic.claude-haiku-4-5-20251001-v1:0", DAY, used(1_000, 1_000), "0.006"),
    ("groq", "openai/gpt-oss-20b", DAY, used(20_000, 2_000, cached=10_000), "0.001725"),
    ("local", "smollm2-135m", DAY, used(5_000, 5_000), "0"),
]


@pytest.mark.parametrize(("vendor", "model", "day", "usage", "dollars"), INVOICE)
def test_the_cost_is_that_of_the_invoice(vendor, model, day, usage, dollars):
    price = PriceTable(shipped()).price(vendor, model, day)
    cost = cost_of(usage, price)
    assert cost.currency_code == "USD"
    charged = Decimal(dollars)
    assert abs(Decimal(cost.amount_nanos) / 10**9 - charged) <= charged / 1000
