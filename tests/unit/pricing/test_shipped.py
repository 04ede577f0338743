from importlib.resources import files
from pathlib import Path
from urllib.parse import urlsplit

from llmproxy_grpc.config.prices import twice_priced
from llmproxy_grpc.config.tree import Source
from llmproxy_grpc.config.yaml_source import read_yaml
from llmproxy_grpc.pricing.shipped import shipped
from llmproxy_grpc.providers.presets import PRESETS
from llmproxy_grpc.providers.registry import KINDS

# Kinds of this project that have a vendor of their own.
COMING = {"anthropic", "gemini", "bedrock", "mistral", "cohere", "grpc"}


def test_the_file_is_read_without_a_fault_of_its_text():
    text = files("llmproxy_grpc.pricing").joinpath("prices.yaml").read_text()
    faults = []
    assert read_yaml(text, Source("prices.yaml", Path(), is_file=True), faults)
    assert faults == []


def test_every_row_is_of_a_known_vendor_and_every_model_is_priced_once_a_day():
    table = shipped()
    assert {row.vendor for row in table.rows} <= table.vendors.keys()
    assert twice_priced(table.rows) == []


def test_every_vendor_with_prices_names_its_page_and_the_day_of_the_last_comparison():
    table = shipped()
    for name in {row.vendor for row in table.rows}:
        vendor = table.vendors[name]
        assert urlsplit(vendor.source).scheme == "https", name
        assert vendor.as_of is not None, name
        assert vendor.as_of <= table.version, name
        assert vendor.hosts, name


def test_every_vendor_is_a_preset_or_a_kind():
    assert shipped().vendors.keys() - {"free"} <= PRESETS.keys() | KINDS.keys() | COMING


def test_the_hosts_of_presets_are_those_of_their_vendors():
    for name, vendor in shipped().vendors.items():
        if name in PRESETS:
            assert urlsplit(PRESETS[name].base_url).hostname in vendor.hosts


def test_prices_are_plausible():
    """Slips of the pen: a digit too many, columns that changed places."""
    for row in shipped().rows:
        assert 0 < row.input < 200, row.models
        assert row.output == 0 or row.input <= row.output <= 12 * row.input, row.models
        assert row.cached_input is None or row.cached_input <= row.input, row.models
        assert row.cache_write is None or row.input <= row.cache_write, row.models
        assert row.cache_write_1h is None or row.cache_write < row.cache_write_1h, row.models
        for tier in row.tiers:
            assert tier.input > row.input, row.models
            assert tier.output > row.output, row.models
