"""Selections agree with a reading of the guide's words that shares no code: every step, and near repeats among them."""

import random
import re
from collections import Counter
from itertools import product

import pytest
from msgspec import Struct

from llmproxy_grpc._gen.v1 import export_pb2 as pb
from llmproxy_grpc.records.store import Batch
from tests.fakes.exports import a_chat, consistent

NONE, EXACT, NEAR = pb.DEDUPLICATION_UNSPECIFIED, pb.DEDUPLICATION_EXACT, pb.DEDUPLICATION_NEAR
LONG = 400
"""Words of a text: one of them changed leaves 0.98 of it the same, a fifth of them less than 0.7, as many more 0.5."""
SURE = (0.7, 0.92)
"""Between these a near repeat is found by chance, so no two texts of the test are so alike."""


class Said(Struct, frozen=True):
    """A recorded conversation, the oldest first in a list of them."""

    turns: tuple[str, ...]
    training: bool

    @property
    def folded(self):
        return tuple(" ".join(turn.split()).lower() for turn in self.turns)

    @property
    def runs(self):
        found = set()
        for turn in self.turns:
            words = re.findall(r"\w+", turn.lower())
            found.update(tuple(words[at : at + 3]) for at in range(max(1, len(words) - 2)))
        return found


def some_conversations(chance, count):
    """Conversations that repeat, nearly repeat and continue each other."""
    names = (f"word{number}" for number in range(10**6))
    said = []
    for _ in range(count):
        kind = chance.choice(["new", "new", "same", "spelled", "marked", "changed", "altered", "continued", "shorter"])
        before = chance.choice(said).turns if said else ()
        if kind == "new" or not before:
            turns = (" ".join(next(names) for _ in range(LONG)), "Yes.")
        else:
            turns = repeated(kind, before, chance, names)
        said.append(Said(turns, training=chance.random() > 0.1))
    return said


def repeated(kind, turns, chance, names):
    question, *rest = turns
    words = question.split()
    match kind:
        case "spelled":
            question = "  ".join(words).upper()
        case "marked":
            question = ", ".join(words)
        case "changed":
            words[chance.randrange(len(words))] = next(names)
            question = " ".join(words)
        case "altered":
            kept = words[: len(words) * 4 // 5]
            question = " ".join([*kept, *(next(names) for _ in words[len(kept) :])])
            rest = ["Yes."]
        case "continued":
            rest = [*rest, " ".join(next(names) for _ in range(2 * LONG * len(turns))), "No."]
        case "shorter" if len(turns) > 2:
            rest = rest[:-2]
    return (question, *rest)


def alike(one, other):
    share = len(one.runs & other.runs) / len(one.runs | other.runs)
    assert not SURE[0] < share < SURE[1], "the test's texts are to be sure"
    return share >= 0.85


def expected(said, selection):
    """The places of those that are chosen from, and why the others are not."""
    usable = [at for at, each in enumerate(said) if each.training or selection.include_no_training]
    reasons = Counter(no_training=len(said) - len(usable))
    left = usable
    if selection.leaves_only:
        begun = {said[at].turns[:end] for at in usable for end in range(2, len(said[at].turns), 2)}
        left = [at for at in usable if said[at].turns not in begun]
        reasons["superseded"] = len(usable) - len(left)
    if selection.deduplication != NONE:
        oldest = {}
        for at in left:
            oldest.setdefault(said[at].folded, at)
        reasons["duplicate"] = len(left) - len(oldest)
        left = sorted(oldest.values())
    if selection.deduplication == NEAR:
        kept = []
        for at in left:
            if not any(alike(said[at], said[older]) for older in kept):
                kept.append(at)
        reasons["near_duplicate"] = len(left) - len(kept)
        left = kept
    return left, reasons


def sized(selection, left, reasons):
    """How many leave; the rest of the reasons is put in."""
    sampled = len(left)
    if selection.HasField("sample"):
        share = selection.sample.fraction
        sampled = round(sampled * share) if share else min(selection.sample.count, sampled)
    written = min(sampled, selection.limit or sampled)
    reasons |= {"not_sampled": len(left) - sampled, "over_limit": sampled - written}
    return written


SELECTIONS = [
    pb.ExportSelection(
        deduplication=repeats,
        leaves_only=leaves,
        include_no_training=everything,
        sample=sample,
        limit=limit,
        order=pb.EXPORT_ORDER_SHUFFLED if shuffled else pb.EXPORT_ORDER_UNSPECIFIED,
        seed=3,
    )
    for repeats, leaves, everything, (sample, limit, shuffled) in product(
        (NEAR, EXACT, NONE),
        (False, True),
        (False, True),
        (
            (None, 0, False),
            (None, 7, True),
            (pb.Sample(fraction=0.5), 0, False),
            (pb.Sample(count=9), 5, True),
        ),
    )
]


@pytest.mark.parametrize("seed", range(3))
async def test_a_selection_chooses_what_the_guide_says(server, writer, seed):
    chance = random.Random(seed)
    said = some_conversations(chance, 60)
    writer.write(Batch(entries=[a_chat(*each.turns, training_ok=each.training) for each in said]))
    seen = Counter()
    for selection in chance.sample(SELECTIONS, 12):
        output = pb.ExportOutput(format=pb.EXPORT_FORMAT_FULL_JSON)
        got = consistent(await server.all(selection=selection, output=output))
        left, reasons = expected(said, selection)
        written = sized(selection, left, reasons)
        places = [line["seq"] - 1 for line in got.lines]
        assert len(set(places)) == len(places) == got.summary.written_records == written
        assert dict(got.summary.skipped_records) == {reason: n for reason, n in reasons.items() if n}
        assert set(places) <= set(left)
        if written == len(left):
            assert sorted(places) == left
        if selection.order == pb.EXPORT_ORDER_UNSPECIFIED:
            assert places == sorted(places)
        seen += reasons
    assert min(seen[reason] for reason in ("superseded", "duplicate", "near_duplicate", "not_sampled")) > 5
