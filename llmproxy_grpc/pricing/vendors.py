"""Whose prices hold for a provider: the vendor that sends the bill, told by its address."""

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from urllib.parse import urlsplit

from llmproxy_grpc.config.schema import Config, ProviderConfig
from llmproxy_grpc.config.tree import Problem
from llmproxy_grpc.pricing.shipped import Vendor, shipped
from llmproxy_grpc.pricing.table import PriceTable

VERTEX = "vertex"


def vendor_of(provider: ProviderConfig, vendors: Mapping[str, Vendor]) -> str:
    """The vendor whose prices hold; empty if that is not known.

    What stands at an unknown address may speak a vendor's API without charging its prices, so there its preset or kind
    does not count if it is a vendor whose addresses are known.
    """
    if provider.prices is not None:
        return provider.prices
    name = provider.preset or provider.kind
    if name == "gemini" and (provider.project or provider.location):
        name = VERTEX
    if provider.base_url is None:
        return name
    host = urlsplit(provider.base_url).hostname or ""
    for known, vendor in vendors.items():
        if any(fnmatchcase(host, pattern) for pattern in vendor.hosts):
            return known
    elsewhere = vendors.get(name)
    return "" if elsewhere is not None and elsewhere.hosts else name


def known_vendors(config: Config) -> Iterator[Problem]:
    """A rule for the loader: `providers[].prices` names a vendor of the price table."""
    table = PriceTable(shipped(), config.prices.rows)
    for number, provider in enumerate(config.providers):
        if provider.prices is not None and not table.knows(provider.prices):
            known = ", ".join(table.names())
            yield Problem(("providers", number, "prices"), f"is no vendor of the price table; there are {known}")
