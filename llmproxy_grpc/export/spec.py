"""What an export is to be, as frozen values: which records, chosen how, written as what."""

from enum import IntEnum
from typing import Final

from msgspec import Struct

from llmproxy_grpc.datasets.options import AS_RECORDED, Format, Options
from llmproxy_grpc.datasets.redaction import RedactionMode
from llmproxy_grpc.records.filters import Filter

NEAR_THRESHOLD: Final = 0.85
"""Jaccard similarity from which two records count as nearly the same."""


class Deduplication(IntEnum):
    """How repeats are found, with the numbers of the API, as all enumerations here."""

    NONE = 0
    EXACT = 1
    NEAR = 2


class SplitGroup(IntEnum):
    """What a split keeps together."""

    CONVERSATION = 1
    END_USER = 2
    RECORD = 3


class Part(IntEnum):
    """A part of a split; ALL where there is none, or every one is asked for."""

    ALL = 0
    TRAIN = 1
    VALIDATION = 2
    TEST = 3


class PairSource(IntEnum):
    """Where preference pairs come from."""

    DEMONSTRATION = 1
    SCORE = 2


class Compression(IntEnum):
    """Compression of chunks."""

    NONE = 0
    GZIP = 1
    ZSTD = 2


WITHOUT_CONTENT: Final = frozenset({None, Format.FULL_JSON, Format.CSV})
"""What can say something of a record whose content was not kept."""


class Sample(Struct, frozen=True):
    """How many to keep: a share of the records or a number of them; of each value of a label the same share."""

    fraction: float | None = None
    count: int | None = None
    stratify_by_label: str = ""


class Split(Struct, frozen=True):
    """Shares of validation and test, and what stays together."""

    validation: float
    test: float
    group: SplitGroup = SplitGroup.CONVERSATION


class Pairs(Struct, frozen=True):
    """How preference pairs are made."""

    source: PairSource = PairSource.DEMONSTRATION
    feedback_name: str = ""
    min_gap: float = 0.0


class Selection(Struct, frozen=True):
    """Which of the filtered records."""

    leaves_only: bool = False
    deduplication: Deduplication = Deduplication.NONE
    sample: Sample | None = None
    shuffled: bool = False
    seed: int = 0
    limit: int = 0
    split: Split | None = None
    include_no_training: bool = False
    pairs: Pairs = Pairs()


class Redaction(Struct, frozen=True):
    """What becomes of personal data and secrets; no class means every class."""

    mode: RedactionMode
    classes: tuple[str, ...] = ()


class Output(Struct, frozen=True):
    """What is written."""

    format: Format | None = Format.OPENAI_CHAT
    """None for the records themselves."""
    options: Options = AS_RECORDED
    part: Part = Part.ALL
    redaction: Redaction | None = None
    compression: Compression = Compression.NONE
    fail_on_invalid: bool = False

    @property
    def takes_stored_lines(self) -> bool:
        """Whether the lines that were made when the records were stored are what is asked for."""
        return self.format == Format.OPENAI_CHAT and self.options == AS_RECORDED


class Choice(Struct, frozen=True):
    """What a plan freezes: the filter and the selection, and what the format makes of it.

    Attributes:
        filter: Which records match.
        selection: Which of those.
        pairs_of_records: Whether pairs of records are made of them.
        needs_demonstration: Whether a record without a demonstration cannot be written.
        needs_label: Whether one that was not judged cannot be; with both, either will do.
    """

    filter: Filter = Filter()
    selection: Selection = Selection()
    pairs_of_records: bool = False
    needs_demonstration: bool = False
    needs_label: bool = False

    @property
    def needs_plan(self) -> bool:
        """Whether it takes a look at all matching records before the first can be written."""
        selection = self.selection
        return bool(
            selection.leaves_only
            or selection.deduplication
            or selection.sample is not None
            or selection.shuffled
            or selection.split is not None
            or self.pairs_of_records
        )
