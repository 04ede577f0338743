"""What sets the generations of Claude apart, by the names of the models; and the list of models."""

import re
from collections.abc import Iterator
from enum import Enum
from typing import Any, Final

from msgspec import Struct
from msgspec.json import Decoder

from llmproxy_grpc.messages import Capability, Modality
from llmproxy_grpc.providers.counts import clipped
from llmproxy_grpc.providers.jsonio import decode, joined
from llmproxy_grpc.providers.provider import UpstreamModel


class Thinking(Enum):
    """How a model is told to think."""

    NONE = "none"
    BUDGET = "budget"
    """`thinking: {type: enabled, budget_tokens}`."""
    EITHER = "either"
    """Adaptive with an effort, or a budget."""
    ADAPTIVE = "adaptive"
    """`thinking: {type: adaptive}` with `output_config.effort` alone."""


class Generation(Struct, frozen=True):
    """What a generation of models can do."""

    thinking: Thinking
    sampling: bool
    """Whether it takes temperature, top_p and top_k; newer models answer 400 to them."""
    json_schema: bool
    most_output: int
    """The output limit that is sent if the caller names none, which the API demands: the model's own."""


_OLDEST = Generation(Thinking.NONE, sampling=True, json_schema=False, most_output=4096)
_OLD = Generation(Thinking.NONE, sampling=True, json_schema=False, most_output=8192)
_FOUR = Generation(Thinking.BUDGET, sampling=True, json_schema=False, most_output=32_000)
_FOUR_FIVE = Generation(Thinking.BUDGET, sampling=True, json_schema=True, most_output=64_000)
_FOUR_SIX = Generation(Thinking.EITHER, sampling=True, json_schema=True, most_output=64_000)
_NEWEST = Generation(Thinking.ADAPTIVE, sampling=False, json_schema=True, most_output=64_000)
_OTHERS = Generation(Thinking.BUDGET, sampling=True, json_schema=True, most_output=8192)
"""Whatever else speaks this API: servers of open models, gateways with names of their own."""

# The first that matches. Source: Anthropic's migration guides for Claude 4.6 and 4.7 and its overview of models.
_BY_NAME: Final = (
    (re.compile(r"claude-3-(?:haiku|opus|sonnet)"), _OLDEST),
    (re.compile(r"claude-3-5-"), _OLD),
    (re.compile(r"claude-3-7-|claude-(?:opus|sonnet)-4(?:-0|-1)?(?!-\d(?!\d))"), _FOUR),
    (re.compile(r"claude-(?:opus|sonnet|haiku)-4-5"), _FOUR_FIVE),
    (re.compile(r"claude-(?:opus|sonnet|haiku)-4-6"), _FOUR_SIX),
    (re.compile(r"claude-"), _NEWEST),
)


def generation_of(model: str) -> Generation:
    """The generation of a model by its name."""
    return next((generation for pattern, generation in _BY_NAME if pattern.search(model)), _OTHERS)


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
