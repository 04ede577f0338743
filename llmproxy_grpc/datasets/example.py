"""One record on its way into a dataset: the conversation, its answers, how they were judged, and the figures.

Times are whole microseconds; `started_us` counts from 1970 in UTC.
"""

from msgspec import Struct

from llmproxy_grpc.messages import Candidate, ChatRequest, FinishReason, JsonObject, Message, Usage, Warning


class Feedback(Struct, frozen=True, kw_only=True):
    """A judgement: a thumb, a score, a comment, or the answer that should have been given."""

    name: str
    value: bool | float | str | Message
    source: str = ""
    created_us: int = 0


class FailedAttempt(Struct, frozen=True, kw_only=True):
    """A try before the one that answered; `reason` is the contract's, such as UPSTREAM_TIMEOUT."""

    provider: str
    upstream_model: str
    grpc_code: int = 0
    upstream_http_status: int = 0
    reason: str = ""
    latency_us: int | None = None
    usage: Usage | None = None


class Failure(Struct, frozen=True, kw_only=True):
    """Why a call failed; the fields are those of ErrorDetail."""

    reason: str
    request_id: str = ""
    provider: str = ""
    upstream_model: str = ""
    upstream_http_status: int = 0
    upstream_code: str = ""
    upstream_message: str = ""
    upstream_request_id: str = ""
    retryable: bool = False
    retry_after_us: int | None = None
    output_started: bool = False
    partial_usage: Usage | None = None
    attempts: tuple[FailedAttempt, ...] = ()


class Figures(Struct, frozen=True, kw_only=True):
    """What is known of a call besides what was said."""

    method: str = ""
    started_us: int = 0
    latency_us: int | None = None
    first_token_us: int | None = None
    caller_key_id: str = ""
    grpc_code: int = 0
    failure: Failure | None = None
    conversation_id: str = ""
    provider: str = ""
    upstream_model: str = ""
    upstream_request_id: str = ""
    cache_hit: bool = False
    failed_attempts: tuple[FailedAttempt, ...] = ()
    usage: Usage | None = None
    finish_reasons: tuple[FinishReason, ...] = ()
    """Each once, of all candidates: what is left of these where the content was not kept."""
    warnings: tuple[Warning, ...] = ()
    provider_metadata: JsonObject = {}


class Pair(Struct, frozen=True):
    """Two answers to the same prompt, the better one first."""

    chosen: Message
    rejected: Message


class Example(Struct, frozen=True, kw_only=True):
    """One record, as far as datasets use it.

    Attributes:
        id: The record's id.
        seq: Its position in the store.
        request: What was asked; without messages if only metadata was kept.
        candidates: What was answered, in the order of their numbers; the first is the answer.
        feedback: The latest of each judgement.
        demonstration: The answer that should have been given, if somebody gave one.
        pair: The two sides of a preference; None if the record makes none.
        label: Whether the answer is wanted, for formats of single judgements; None if nobody said.
        content_kept: Whether what was said was kept; else request and candidates say nothing of it.
        figures: The rest.
    """

    id: str
    request: ChatRequest
    seq: int = 0
    candidates: tuple[Candidate, ...] = ()
    feedback: tuple[Feedback, ...] = ()
    demonstration: Message | None = None
    pair: Pair | None = None
    label: bool | None = None
    content_kept: bool = True
    figures: Figures = Figures()
