"""What is kept of a call: its figures, its content, judgements of it, and what erasure leaves behind.

Times are microseconds of Unix time, durations microseconds; ids are the 16 bytes of a UUIDv7.
"""

import re
from enum import IntEnum
from typing import Final

from msgspec import Struct

SCHEMA_VERSION: Final = 1
"""Of the bodies: readers know every version up to it, and bodies are never rewritten."""


_ID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


class DataPolicy(IntEnum):
    """What may be kept of a call, the operator's policy and the caller's wish together; numbers of the API."""

    METADATA_ONLY = 1
    NO_TRAINING = 2
    FULL = 3


class FeedbackKind(IntEnum):
    """What a judgement is; the latest of each kind, name and source counts."""

    THUMBS = 1
    SCORE = 2
    COMMENT = 3
    DEMONSTRATION = 4


class Record(Struct, frozen=True, kw_only=True):
    """The figures of one call. The names are the columns of every store; `seq` and `ingested_at` are the store's."""

    seq: int = 0
    """Position in the store, in the order of commits; from 1, never used again."""
    id: bytes
    tenant: str
    method: str
    started_at: int
    ended_at: int
    ingested_at: int = 0
    caller_key_id: str = ""
    end_user: str = ""
    conversation: str = ""
    """The caller's, else that of the record which this one continues, else the record's own id as text."""
    parent_id: bytes | None = None
    """The longest record that this one continues, as far as it was stored before."""
    model: str = ""
    """As requested."""
    provider: str = ""
    upstream_model: str = ""
    attempts: int = 0
    fell_back: bool = False
    """Whether an attempt at another target than the one that answered had failed before."""
    grpc_code: int
    error_reason: str = ""
    error: bytes | None = None
    """A serialized ErrorDetail, if the call failed."""
    finish_reasons: int = 0
    """Bit n is set if a candidate ended for FinishReason n."""
    complete: bool = False
    """Whether the whole answer came."""
    input_tokens: int | None = None
    output_tokens: int | None = None
    total_tokens: int | None = None
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    usage_source: int = 0
    cost_nanos: int | None = None
    cost_currency: str = ""
    latency_us: int = 0
    ttft_us: int | None = None
    messages: int = 0
    """Messages of the conversation, the answer included; 0 if no content was kept."""
    content_bytes: int = 0
    """Size of request and response as kept, before compression."""
    has_tool_calls: bool = False
    has_media: bool = False
    data_policy: int = DataPolicy.FULL
    training_ok: bool = True
    labels: str = ""
    """A JSON object of the labels, its keys sorted; empty without labels."""
    dkey: bytes | None = None
    """Hash of prompt and answer with white space and case folded: equal for repeats."""
    input_hash: bytes | None = None
    """Hash of the prompt."""
    full_hash: bytes | None = None
    """Hash of prompt and answer."""
    ancestors: bytes = b""
    """The `full_hash` that each record would have which this one continues, 16 bytes each, the shortest first."""
    schema_version: int = SCHEMA_VERSION


class Body(Struct, frozen=True):
    """The content of one call, as serialized messages of the API."""

    request: bytes
    """A ChatRequest."""
    response: bytes = b""
    """A ChatResponse, as far as it came."""
    line: bytes | None = None
    """The record as a line of OPENAI_CHAT, its line end included; None if it has to be made of the rest."""
    line_fault: str = ""
    """Why the record is no valid line of that format, a SkipReason; then `line` is None."""


class Entry(Struct, frozen=True):
    """A record on its way into the store."""

    record: Record
    body: Body | None = None


class Feedback(Struct, frozen=True, kw_only=True):
    """A judgement; `fseq` is its position in the store, the store's own, in the order of commits."""

    fseq: int = 0
    id: bytes
    """Of the judgement itself: the same one is stored once."""
    tenant: str
    record_id: bytes
    name: str
    kind: FeedbackKind
    number: float | None = None
    """1 or 0 of THUMBS, the score of SCORE."""
    content: bytes | None = None
    """UTF-8 of COMMENT, a serialized Message of DEMONSTRATION."""
    source: str = ""
    created_at: int


class OpenCall(Struct, frozen=True):
    """A call that has begun and not ended yet, as its worker's spool says; it is found again if that dies."""

    id: bytes
    worker: str
    """Number and generation of the worker, as its segments are named."""
    tenant: str
    method: str
    started_at: int
    caller_key_id: str = ""


class Tombstone(Struct, frozen=True):
    """An erased record: nothing is left of it but that."""

    id: bytes
    seq: int
    reason: str
    at: int


class Watermarks(Struct, frozen=True):
    """How far a tenant's records and feedback reach: positions of the last ones committed."""

    seq: int = 0
    feedback_seq: int = 0


def spell_id(record_id: bytes) -> str:
    """A record's id as text, as callers know it."""
    text = record_id.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def parse_id(text: str) -> bytes:
    """The bytes of an id.

    Raises:
        ValueError: It is no UUID in its usual form.
    """
    if not _ID.fullmatch(text):
        raise ValueError("not a UUID in its usual form")
    return bytes.fromhex(text.replace("-", ""))
