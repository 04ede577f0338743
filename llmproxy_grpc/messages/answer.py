"""What comes back: candidates, what they used, and what was changed on the way."""

import re
from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from llmproxy_grpc.messages.content import JsonObject, Message
from llmproxy_grpc.messages.enumerations import FinishReason, Modality, UsageSource

_CURRENCY: Final = re.compile(r"[A-Z]{3}")


class Cost(Struct, frozen=True):
    """Money, in billionths of the currency's unit."""

    currency_code: str
    amount_nanos: int


def is_currency(code: str) -> bool:
    """Whether a code has the form of a currency's (ISO 4217)."""
    return _CURRENCY.fullmatch(code) is not None


class ModalityTokens(Struct, frozen=True):
    """Tokens of one kind of content."""

    modality: Modality
    input_tokens: int = 0
    output_tokens: int = 0


class Usage(Struct, frozen=True):
    """Tokens and money; cached tokens are part of input, reasoning tokens part of output.

    A provider sets `cost` only to what its vendor says that the call was charged.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    total_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_input_tokens: int = 0
    reasoning_tokens: int = 0
    modality_tokens: tuple[ModalityTokens, ...] = ()
    cost: Cost | None = None
    source: UsageSource = UsageSource.PROVIDER
    cache_write_1h_input_tokens: int = 0
    """What of `cache_write_input_tokens` is kept for an hour, which costs more; callers are not told."""
    at_other_rates: bool = False
    """Whether the vendor charges other than its standard rates, or for more than tokens; callers are not told."""


class TokenCount(Struct, frozen=True):
    """How long a prompt is, and who says so."""

    input_tokens: int
    source: UsageSource


class TokenLogprob(Struct, frozen=True):
    """Log probability of one position."""

    token: str
    logprob: float
    token_bytes: bytes = b""
    top: tuple["TokenLogprob", ...] = ()


class Candidate(Struct, frozen=True):
    """One answer."""

    index: int
    message: Message
    finish_reason: FinishReason
    raw_finish_reason: str = ""
    matched_stop_sequence: str = ""
    logprobs: tuple[TokenLogprob, ...] = ()


class Warning(Struct, frozen=True):  # noqa: A001 - the API's word; nobody raises it
    """Something was ignored or changed: an UPPER_SNAKE_CASE code, the field's path, and words."""

    code: str
    field: str
    message: str


class ProviderResponse(Struct, frozen=True):
    """What one provider answered to one attempt of a Chat.

    A provider that is a proxy itself passes on what it was told: its warnings, and in `relayed_metadata` what the
    providers behind it said beyond the API, by their kinds.
    """

    candidates: tuple[Candidate, ...]
    usage: Usage | None = None
    upstream_request_id: str = ""
    provider_metadata: JsonObject = {}
    warnings: tuple[Warning, ...] = ()
    relayed_metadata: Mapping[str, JsonObject] = {}
