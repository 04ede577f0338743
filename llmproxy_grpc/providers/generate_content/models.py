"""Lists of models, as Google AI Studio and Vertex AI give them."""

import re
from collections.abc import Iterator
from typing import Any

from llmproxy_grpc.messages import Capability
from llmproxy_grpc.providers.counts import clipped
from llmproxy_grpc.providers.generate_content.shapes import MODELS, ListedModel
from llmproxy_grpc.providers.jsonio import decode, joined
from llmproxy_grpc.providers.provider import UpstreamModel

_OURS = re.compile(r"gemini|embedding")
"""What of Vertex AI's list answers by this API: it has every model that Google ever published."""
_METHODS = {
    "generateContent": Capability.CHAT,
    "countTokens": Capability.COUNT_TOKENS,
    "embedContent": Capability.EMBED,
}


def read_page(body: bytes) -> tuple[list[UpstreamModel], str]:
    """Reads one page: its models, and the token of the next; empty if there is none.

    Raises:
        UpstreamProtocolError: It is no list of models.
    """
    page = decode(body, MODELS)
    published = (entry for entry in page.publisherModels or () if _OURS.search(str(entry.name)))
    return list(_models([*(page.models or ()), *published])), page.nextPageToken or ""


def _models(listed: list[ListedModel]) -> Iterator[UpstreamModel]:
    for entry in listed:
        if isinstance(entry.name, str) and entry.name:
            name = joined(entry.name.removeprefix("models/").rpartition("models/")[2])
            limits = clipped(entry.inputTokenLimit), clipped(entry.outputTokenLimit)
            yield UpstreamModel(name, *limits, capabilities=_capabilities(entry))


def _capabilities(entry: ListedModel) -> frozenset[Capability] | None:
    methods: Any = entry.supportedGenerationMethods
    if not isinstance(methods, list):
        return None
    found = {capability for name, capability in _METHODS.items() if name in methods}
    if Capability.CHAT in found:
        found |= {Capability.TOOLS, Capability.JSON_SCHEMA}
        if entry.thinking is True:
            found.add(Capability.REASONING)
    return frozenset(found)
