"""How alike two texts are: sets of hashed shingles, and keys that texts alike are likely to share (MinHash).

One permutation with optimal densification: one pass over the shingles fills the bins, and an empty bin borrows from
others in an order of its own, so that every place of the signature agrees with the chance of the Jaccard similarity.
"""

import random
import re
from array import array
from collections.abc import Iterable, Sequence
from typing import Final
from zlib import crc32

BINS: Final = 256
BANDS: Final = 24
ROWS: Final = 10
"""Places of the signature in one key: two texts of 0.85 share one of 24 such keys in 99.5 cases of 100, of 0.5 in 2."""
SHINGLE: Final = 3
"""Words that follow each other."""
MOST_HASHES: Final = 8192
"""Of a longer text (some 50 kB) the least hashes stand for all, which chance spreads: the similarity is then told to
half a hundredth, and neither a comparison nor what is kept for it grows with the text."""
_WORD: Final = re.compile(r"\w+")
_SPREAD: Final = 0x9E3779B1
_MASK: Final = 0xFFFFFFFF
_chance = random.Random(20_261_126)  # noqa: S311 - any fixed numbers do
_LENDERS: Final = [_chance.sample(range(BINS), BINS) for _ in range(BINS)]
"""For each bin, whom it asks when it is empty, one after the other."""


def shingles(texts: Iterable[str]) -> "array[int]":
    """The hashes of all runs of three words, case and what stands between words aside; ordered, each once."""
    found: set[int] = set()
    for text in texts:
        words = _WORD.findall(text.casefold())
        runs = [" ".join(words[start : start + SHINGLE]) for start in range(max(1, len(words) - SHINGLE + 1))]
        found.update((crc32(run.encode(errors="replace")) * _SPREAD & _MASK) for run in runs)
    return array("I", sorted(found))


def jaccard(one: Sequence[int], other: Sequence[int]) -> float:
    """The share of what both have among what either has, by the least of them; 1 of two empty ones. Both ordered."""
    first, second = set(one[:MOST_HASHES]), set(other[:MOST_HASHES])
    either = first | second
    if len(either) > MOST_HASHES:
        either = set(sorted(either)[:MOST_HASHES])
    return len(first & second & either) / len(either) if either else 1.0


def keys(hashes: Sequence[int], apart: int = 0) -> list[int]:
    """The keys of a set of hashes: numbers of 64 bits, with their sign.

    Args:
        hashes: The set, ordered.
        apart: What must be the same; sets of which it differs share no key.
    """
    bins: list[int | None] = [None] * BINS
    for value in reversed(hashes):  # they are ordered, so that the least of a bin comes last
        bins[value & (BINS - 1)] = value
    if not hashes:
        return []
    filled = [_lent(bins, place) if value is None else value for place, value in enumerate(bins)]
    return [hash((apart, band, *filled[band * ROWS : (band + 1) * ROWS])) for band in range(BANDS)]


def _lent(bins: Sequence[int | None], place: int) -> int:
    for lender in _LENDERS[place]:
        value = bins[lender]
        if value is not None:
            return value
    raise AssertionError("no bin has anything")
