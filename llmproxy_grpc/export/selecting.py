"""Leaves candidates out, step by step, each with its reason; the steps are SQL over the scratch database."""

import math
from collections.abc import Callable, Mapping
from typing import Final

import apsw

from llmproxy_grpc.datasets.skipping import SkipReason
from llmproxy_grpc.export.spec import Choice, Deduplication, Pairs, Sample

SCHEMA: Final = """
CREATE TABLE candidate (
    seq INTEGER PRIMARY KEY,
    size INTEGER NOT NULL,
    fault TEXT NOT NULL,
    part INTEGER NOT NULL,
    chance INTEGER NOT NULL,
    place INTEGER NOT NULL,
    stratum TEXT NOT NULL,
    dkey BLOB,
    input_hash BLOB,
    full_hash BLOB,
    score REAL,
    rejected INTEGER
) STRICT;
CREATE TABLE ancestor (hash BLOB PRIMARY KEY) WITHOUT ROWID, STRICT;
CREATE TABLE quota (stratum TEXT PRIMARY KEY, most INTEGER NOT NULL) WITHOUT ROWID, STRICT;
"""

SUPERSEDED: Final = "superseded"
"""A longer record of the same conversation contains it."""
DUPLICATE: Final = "duplicate"
NEAR_DUPLICATE: Final = "near_duplicate"
NO_PAIR: Final = SkipReason.NO_PAIR.value
NO_LABEL: Final = SkipReason.NO_LABEL.value
PAIRED: Final = "paired"
"""It is the worse side of a pair, and written with the better one."""
NOT_SAMPLED: Final = "not_sampled"
OVER_LIMIT: Final = "over_limit"
_DIGITS: Final = 9
"""Behind the point, to which gaps are rounded: of binary fractions 0.7 - 0.4 is less than 0.3."""


def select(scratch: apsw.Connection, choice: Choice, near: Callable[[], None]) -> None:
    """Gives every candidate that is not to be written its fault, and the better one of a pair the other.

    Args:
        scratch: The candidates.
        choice: What is asked for.
        near: Leaves out what nearly repeats an older record; only that reads content.
    """
    selection = choice.selection
    if selection.leaves_only:
        _leave_out_superseded(scratch)
    if selection.deduplication != Deduplication.NONE:
        _leave_out_duplicates(scratch)
    if selection.deduplication == Deduplication.NEAR:
        near()
    if choice.pairs_of_records:
        _pair(scratch, selection.pairs)
    if selection.sample is not None:
        _sample(scratch, selection.sample)
    if selection.limit:
        _limit(scratch, selection.limit)


def _leave_out_superseded(scratch: apsw.Connection) -> None:
    scratch.execute(
        "UPDATE candidate SET fault = ? WHERE fault = '' AND full_hash IN (SELECT hash FROM ancestor)", (SUPERSEDED,)
    )


def _leave_out_duplicates(scratch: apsw.Connection) -> None:
    """Of several, the oldest is kept."""
    scratch.execute(
        "UPDATE candidate SET fault = ? WHERE fault = '' AND dkey IS NOT NULL AND seq NOT IN "
        "(SELECT min(seq) FROM candidate WHERE fault = '' AND dkey IS NOT NULL GROUP BY dkey)",
        (DUPLICATE,),
    )


def _pair(scratch: apsw.Connection, pairs: Pairs) -> None:
    """Pairs the best answer to a prompt with the worst, the second best with the second worst, and so on.

    Both are of one part of the split: what is said in a conversation of one part is not to be read in another.
    """
    scratch.execute(
        """
        CREATE TEMP TABLE pair AS
        WITH ranked AS MATERIALIZED (
            SELECT seq, input_hash, part, score,
                row_number() OVER (PARTITION BY input_hash, part ORDER BY score DESC, seq) AS best,
                row_number() OVER (PARTITION BY input_hash, part ORDER BY score, seq DESC) AS worst,
                count(*) OVER (PARTITION BY input_hash, part) AS answers
            FROM candidate WHERE fault = '' AND score IS NOT NULL AND input_hash IS NOT NULL
        )
        SELECT a.seq AS chosen, b.seq AS rejected
        FROM ranked AS a
        JOIN ranked AS b ON b.input_hash = a.input_hash AND b.part = a.part AND b.worst = a.best
        WHERE a.best * 2 <= a.answers AND a.score > b.score AND round(a.score - b.score, ?) >= ?
        """,
        (_DIGITS, pairs.min_gap),
    )
    scratch.execute("CREATE UNIQUE INDEX temp.pair_chosen ON pair (chosen)")
    scratch.execute("UPDATE candidate SET fault = ? WHERE fault = '' AND seq IN (SELECT rejected FROM pair)", (PAIRED,))
    scratch.execute(
        "UPDATE candidate SET fault = ? WHERE fault = '' AND seq NOT IN (SELECT chosen FROM pair)", (NO_PAIR,)
    )
    scratch.execute("UPDATE candidate SET rejected = (SELECT rejected FROM pair WHERE chosen = seq) WHERE fault = ''")


def _sample(scratch: apsw.Connection, sample: Sample) -> None:
    """Keeps those of each stratum whose chance is the least."""
    found = scratch.execute("SELECT stratum, count(*) FROM candidate WHERE fault = '' GROUP BY stratum")
    quotas = quotas_of(sample, {str(stratum): int(count) for stratum, count in found})
    scratch.executemany("INSERT INTO quota VALUES (?, ?)", quotas.items())
    scratch.execute(
        """
        UPDATE candidate SET fault = ? WHERE seq IN (
            SELECT seq FROM (
                SELECT seq, stratum, row_number() OVER (PARTITION BY stratum ORDER BY chance, seq) AS rank
                FROM candidate WHERE fault = ''
            ) JOIN quota USING (stratum) WHERE rank > most
        )
        """,
        (NOT_SAMPLED,),
    )


def quotas_of(sample: Sample, strata: Mapping[str, int]) -> dict[str, int]:
    """How many of each stratum are kept: the same share of each, and in all exactly what was asked for.

    What whole numbers leave over goes to those that were cut the most.
    """
    total = sum(strata.values())
    wanted = round(total * (sample.fraction or 0.0)) if sample.count is None else min(sample.count, total)
    exact = {stratum: wanted * count / total for stratum, count in strata.items()}
    quotas = {stratum: math.floor(share) for stratum, share in exact.items()}
    by_rest = sorted(exact, key=lambda stratum: (quotas[stratum] - exact[stratum], stratum))
    for stratum in by_rest[: wanted - sum(quotas.values())]:
        quotas[stratum] += 1
    return quotas


def _limit(scratch: apsw.Connection, most: int) -> None:
    """Keeps the first in the order of the export, whatever part they are of."""
    scratch.execute(
        "UPDATE candidate SET fault = ? WHERE seq IN "
        "(SELECT seq FROM candidate WHERE fault = '' ORDER BY place, seq LIMIT -1 OFFSET ?)",
        (OVER_LIMIT, most),
    )
