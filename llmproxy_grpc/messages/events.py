"""A stream's events, as providers produce them."""

from collections.abc import Mapping

from msgspec import Struct

from llmproxy_grpc.messages.answer import TokenLogprob, Usage, Warning
from llmproxy_grpc.messages.content import Citation, JsonObject, Part
from llmproxy_grpc.messages.enumerations import FinishReason


class Delta(Struct, frozen=True, kw_only=True):
    """More content; deltas of one candidate and part append to one part."""

    candidate_index: int = 0
    part_index: int = 0
    continuity_token: bytes = b""
    citations: tuple[Citation, ...] = ()
    logprobs: tuple[TokenLogprob, ...] = ()


class TextDelta(Delta, frozen=True):
    """More text; it may be empty when it only carries a token, citations or log probabilities."""

    text: str


class ReasoningDelta(Delta, frozen=True):
    """More thinking."""

    text: str
    redacted: bool = False
    summary: bool = False


class RefusalDelta(Delta, frozen=True):
    """More of a refusal."""

    text: str


class ToolCallDelta(Delta, frozen=True):
    """More of a tool call: `id` and `name` with the first fragment alone; fragments of the arguments concatenate."""

    id: str = ""
    name: str = ""
    arguments_json: str = ""


class PartDelta(Delta, frozen=True):
    """A whole part of a kind that does not come in pieces."""

    part: Part


class CandidateFinish(Struct, frozen=True):
    """A candidate is complete."""

    candidate_index: int
    finish_reason: FinishReason
    raw_finish_reason: str = ""
    matched_stop_sequence: str = ""


class UpstreamStart(Struct, frozen=True):
    """The provider has accepted the request and answers; first in every stream, and not yet output."""

    upstream_request_id: str = ""


class UsageSoFar(Struct, frozen=True):
    """What the provider says to have been used until now; no output, and of use only if the stream breaks off."""

    usage: Usage


class UpstreamEnd(Struct, frozen=True):
    """The provider's own end marker has come; last in every complete stream."""

    usage: Usage | None = None
    provider_metadata: JsonObject = {}
    relayed_metadata: Mapping[str, JsonObject] = {}
    """As in ProviderResponse."""


StreamEvent = Delta | CandidateFinish | UpstreamStart | UsageSoFar | UpstreamEnd | Warning
