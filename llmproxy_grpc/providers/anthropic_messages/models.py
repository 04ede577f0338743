"""The list of models, page by page, with the limits and capabilities that the newest schema tells."""

from collections.abc import Iterator
from typing import Any

from msgspec import Struct
from msgspec.json import Decoder

from llmproxy_grpc.messages import Capability, Modality
from llmproxy_grpc.providers.counts import clipped
from llmproxy_grpc.providers.jsonio import decode, joined
from llmproxy_grpc.providers.provider import UpstreamModel


class ListedModel(Struct, gc=False):
    """One entry of the list; the newest schema tells limits and capabilities."""

    id: Any = None
    max_input_tokens: Any = None
    max_tokens: Any = None
    capabilities: Any = None


class ModelPage(Struct, gc=False):
    """One page of the list."""

    data: list[ListedModel]
    has_more: bool | None = None
    last_id: str | None = None


_PAGE = Decoder(ModelPage)


def read_page(body: bytes) -> tuple[list[UpstreamModel], str]:
    """Reads one page: its models, and the id behind which the next begins; empty if there is none.

    Raises:
        UpstreamProtocolError: It is no list of models.
    """
    page = decode(body, _PAGE)
    return list(_models(page.data)), (page.last_id or "") if page.has_more else ""


def _models(listed: list[ListedModel]) -> Iterator[UpstreamModel]:
    for entry in listed:
        if isinstance(entry.id, str) and entry.id:
            yield UpstreamModel(
                joined(entry.id),
                clipped(entry.max_input_tokens),
                clipped(entry.max_tokens),
                capabilities=_capabilities(entry.capabilities),
                input_modalities=_modalities(entry.capabilities),
            )


def _capabilities(told: Any) -> frozenset[Capability] | None:
    if not isinstance(told, dict):
        return None
    always = {Capability.CHAT, Capability.TOOLS, Capability.COUNT_TOKENS}
    optional = {"thinking": Capability.REASONING, "structured_outputs": Capability.JSON_SCHEMA}
    return frozenset(always | {capability for name, capability in optional.items() if _supports(told, name)})


def _modalities(told: Any) -> frozenset[Modality] | None:
    if not isinstance(told, dict):
        return None
    inputs = {"image_input": Modality.IMAGE, "pdf_input": Modality.DOCUMENT}
    return frozenset({Modality.TEXT, *(modality for name, modality in inputs.items() if _supports(told, name))})


def _supports(told: dict[str, Any], name: str) -> bool:
    capability = told.get(name)
    return isinstance(capability, dict) and capability.get("supported") is True
