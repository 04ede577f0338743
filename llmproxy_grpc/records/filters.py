"""Conditions on records as frozen values: what a filter asks for, and the limits of how much it may ask."""

from enum import IntEnum
from typing import Final

from msgspec import Struct

from llmproxy_grpc.messages import Role

DEEPEST: Final = 8
"""Levels of filters, the outermost included."""
MOST_FILTERS: Final = 64
"""Filters in all, the outermost included."""


class LabelOperator(IntEnum):
    """Comparisons of labels, with the numbers of the API."""

    EXISTS = 1
    IN = 2
    NOT_IN = 3
    PREFIX = 4


class NumberField(IntEnum):
    """Numbers of a record, with those of the API."""

    INPUT_TOKENS = 1
    OUTPUT_TOKENS = 2
    TOTAL_TOKENS = 3
    COST = 4
    LATENCY_SECONDS = 5
    TIME_TO_FIRST_TOKEN_SECONDS = 6
    MESSAGES = 7
    BYTES = 8


class LabelCondition(Struct, frozen=True):
    """A condition on one label; PREFIX holds for a label that starts with any of the values."""

    key: str
    operator: LabelOperator = LabelOperator.EXISTS
    values: tuple[str, ...] = ()


class FeedbackCondition(Struct, frozen=True):
    """A condition on the latest judgements of one name: each set field must hold for one of them.

    Without any field it holds if there is a judgement of that name at all.
    """

    name: str
    thumbs_up: bool | None = None
    min_score: float | None = None
    max_score: float | None = None
    has_demonstration: bool | None = None
    source: str = ""
    """Only judgements of this source; empty means any."""


class NumberCondition(Struct, frozen=True):
    """Bounds of a number, both included; a record that does not know the number fails it."""

    field: NumberField
    min: float | None = None
    max: float | None = None


class TextCondition(Struct, frozen=True):
    """Words that a message of one of the roles contains, or, negated, that none does; no role means every role."""

    contains: str
    negate: bool = False
    roles: tuple[Role, ...] = ()
    case_sensitive: bool = False


class Filter(Struct, frozen=True):
    """Conditions that all must hold; what is empty or None asks for nothing."""

    start_us: int | None = None
    """Started at or after, in microseconds of Unix time."""
    end_us: int | None = None
    """Started before."""
    record_ids: tuple[str, ...] = ()
    """In lower case, as `spell_id` writes them."""
    models: tuple[str, ...] = ()
    providers: tuple[str, ...] = ()
    upstream_models: tuple[str, ...] = ()
    grpc_codes: tuple[int, ...] = ()
    finish_reasons: tuple[int, ...] = ()
    end_user_ids: tuple[str, ...] = ()
    conversation_ids: tuple[str, ...] = ()
    caller_key_ids: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    labels: tuple[LabelCondition, ...] = ()
    feedback: tuple[FeedbackCondition, ...] = ()
    numbers: tuple[NumberCondition, ...] = ()
    texts: tuple[TextCondition, ...] = ()
    has_tool_calls: bool | None = None
    has_media: bool | None = None
    fell_back: bool | None = None
    any_of: tuple["Filter", ...] = ()
    none_of: tuple["Filter", ...] = ()

    @property
    def reads_text(self) -> bool:
        """Whether metadata alone cannot decide it."""
        return bool(self.texts) or any(inner.reads_text for inner in (*self.any_of, *self.none_of))


class Window(Struct, frozen=True):
    """What of the store is looked at: one tenant's records with after < seq <= as_of, and feedback up to a position."""

    tenant: str
    after_seq: int
    as_of_seq: int
    as_of_feedback_seq: int
