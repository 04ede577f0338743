"""Whatever is asked for together is found: filters of the API against a reading of their words that shares no code."""

import random
from decimal import Decimal
from itertools import count

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from llmproxy_grpc._gen.v1 import export_pb2 as pb
from llmproxy_grpc.records.record import FeedbackKind
from llmproxy_grpc.records.store import Batch
from tests.fakes.exports import ROLES, a_chat
from tests.fakes.records import a_judgement

RECORDS = pb.ExportOutput(format=pb.EXPORT_FORMAT_RECORDS)
EVERYTHING = pb.ExportSelection(include_no_training=True)
WORDS = ["Straße", "STRASSE", "tea", "TEA pot", "100%_", "é", "it's"]
SPEAKERS = ["user", "assistant"]
MODELS, METHODS, TIERS, SOURCES, NAMES = (
    ["m0", "m1"],
    ["Chat", "Stream", "Embed"],
    ["", "g", "go"],
    ["a", "b"],
    ["x", "y"],
)
NUMBERS = {
    pb.NUMBER_FIELD_INPUT_TOKENS: ("input_tokens", 1),
    pb.NUMBER_FIELD_COST: ("cost_nanos", 10**9),
    pb.NUMBER_FIELD_LATENCY_SECONDS: ("latency_us", 10**6),
    pb.NUMBER_FIELD_MESSAGES: ("messages", 1),
}


class Known:
    """A record, what was said in it, and how it was judged, in the order of the judgements."""

    def __init__(self, chance):
        self.turns = [f"{chance.choice(WORDS)} {chance.choice(WORDS)}" for _ in range(2 * chance.randrange(1, 3))]
        self.labels = {"tier": chance.choice(TIERS)} if chance.random() < 0.6 else {}
        self.kept = chance.random() < 0.9
        self.entry = a_chat(
            *self.turns,
            labels=self.labels,
            keep=self.kept,
            started_at=chance.randrange(5) * 1_000_000,
            model=chance.choice(MODELS),
            method=chance.choice(METHODS),
            grpc_code=chance.choice([0, 0, 14]),
            has_tool_calls=chance.random() < 0.5,
            input_tokens=chance.choice([None, 0, 3]),
            cost_nanos=chance.choice([None, 100_000_000, 100_000_001]),
            latency_us=chance.choice([0, 299_999, 300_000]),
        )
        self.record = self.entry.record
        self.judged = [self._judgement(chance) for _ in range(chance.randrange(4))]

    def _judgement(self, chance):
        kind = chance.choice([FeedbackKind.THUMBS, FeedbackKind.SCORE, FeedbackKind.DEMONSTRATION])
        number = {FeedbackKind.THUMBS: chance.choice([0.0, 1.0]), FeedbackKind.SCORE: chance.choice([0.1, 0.5])}.get(
            kind
        )
        content = None if number is not None else b""
        said = {"name": chance.choice(NAMES), "source": chance.choice(SOURCES)}
        return a_judgement(self.record.id, kind=kind, number=number, content=content, **said)


def meets(asked, known, *, outermost=False):
    """Whether a record is meant, read word by word from the API."""
    record = known.record
    codes = asked.grpc_codes or ([0] if outermost else range(17))
    methods = asked.methods or (["Chat", "Stream"] if outermost else METHODS)
    started = record.started_at // 1_000_000
    return (
        record.grpc_code in codes
        and record.method in methods
        and (not asked.models or record.model in asked.models)
        and (not asked.HasField("start_time") or started >= asked.start_time.seconds)
        and (not asked.HasField("end_time") or started < asked.end_time.seconds)
        and (not asked.HasField("has_tool_calls") or record.has_tool_calls == asked.has_tool_calls)
        and all(labelled(each, known.labels) for each in asked.labels)
        and all(judged(each, known.judged) for each in asked.feedback)
        and all(counted(each, record) for each in asked.numbers)
        and all(said(each, known) for each in asked.texts)
        and (not asked.any_of or any(meets(inner, known) for inner in asked.any_of))
        and not any(meets(inner, known) for inner in asked.none_of)
    )


def labelled(asked, labels):
    if asked.key not in labels:
        return False
    value, values = labels[asked.key], list(asked.values)
    return {
        pb.LABEL_OPERATOR_EXISTS: lambda: True,
        pb.LABEL_OPERATOR_IN: lambda: value in values,
        pb.LABEL_OPERATOR_NOT_IN: lambda: value not in values,
        pb.LABEL_OPERATOR_PREFIX: lambda: any(value.startswith(each) for each in values),
    }[asked.operator]()


def judged(asked, judgements):
    latest = {(each.name, each.kind, each.source): each for each in judgements if each.name == asked.name}
    mine = [each for each in latest.values() if not asked.source or each.source == asked.source]
    thumbs = [each.number for each in mine if each.kind == FeedbackKind.THUMBS]
    scores = [each.number for each in mine if each.kind == FeedbackKind.SCORE]
    shown = any(each.kind == FeedbackKind.DEMONSTRATION for each in mine)
    wanted = [
        *([float(asked.thumbs_up) in thumbs] if asked.HasField("thumbs_up") else []),
        *([any(within(asked, "score", each) for each in scores)] if scored(asked) else []),
        *([shown == asked.has_demonstration] if asked.HasField("has_demonstration") else []),
    ]
    return all(wanted) if wanted else bool(mine)


def scored(asked):
    return asked.HasField("min_score") or asked.HasField("max_score")


def within(asked, what, value):
    low, high = (f"{end}_{what}" if what else end for end in ("min", "max"))
    return (not asked.HasField(low) or value >= getattr(asked, low)) and (
        not asked.HasField(high) or value <= getattr(asked, high)
    )


def counted(asked, record):
    column, units = NUMBERS[asked.field]
    value = getattr(record, column)
    return value is not None and within(asked, "", float(Decimal(value) / units))


def said(asked, known):
    spoken = zip((SPEAKERS * 2)[: len(known.turns)], known.turns, strict=True) if known.kept else ()
    texts = [text for role, text in spoken if not asked.roles or ROLES[role] in asked.roles]
    as_asked = str if asked.case_sensitive else str.casefold
    return any(as_asked(asked.contains) in as_asked(text) for text in texts) != asked.negate


def a_filter(chance, depth=2):
    """A filter of one to three conditions, nested ones included."""
    asked = pb.ExportFilter()
    kinds = [_time, _lists, _flag, _label, _feedback, _number, _text, _text] + [_nested] * 2 * bool(depth)
    for kind in chance.sample(kinds, chance.randrange(1, 4)):
        kind(asked, chance, depth)
    return asked


def _time(asked, chance, _depth):
    field = chance.choice([asked.start_time, asked.end_time])
    field.CopyFrom(Timestamp(seconds=chance.randrange(5)))


def _lists(asked, chance, _depth):
    field, values = chance.choice([("models", MODELS), ("methods", METHODS), ("grpc_codes", [0, 14])])
    getattr(asked, field).extend(chance.sample(values, chance.randrange(1, 3)))


def _flag(asked, chance, _depth):
    asked.has_tool_calls = chance.random() < 0.5


def _label(asked, chance, _depth):
    operator = chance.choice(pb.LabelOperator.values()[1:])
    values = [] if operator == pb.LABEL_OPERATOR_EXISTS else chance.sample(TIERS, chance.randrange(1, 3))
    asked.labels.add(key="tier", operator=operator, values=values)


def _feedback(asked, chance, _depth):
    fields = {"thumbs_up": chance.random() < 0.5, "min_score": 0.3, "max_score": 0.5, "has_demonstration": True}
    some = chance.sample(sorted(fields), chance.randrange(3))
    source = chance.choice(["", *SOURCES])
    asked.feedback.add(name=chance.choice(NAMES), source=source, **{name: fields[name] for name in some})


def _number(asked, chance, _depth):
    field = chance.choice(list(NUMBERS))
    asked.numbers.add(field=field, **{chance.choice(["min", "max"]): chance.choice([0, 0.1, 0.3, 2, 3])})


def _text(asked, chance, _depth):
    roles = chance.choice([[], [], [ROLES["user"]], [ROLES["assistant"]], [ROLES["tool"]]])
    asked.texts.add(
        contains=chance.choice([*WORDS, "strasse", "e"]),
        negate=chance.random() < 0.4,
        roles=roles,
        case_sensitive=chance.random() < 0.5,
    )


def _nested(asked, chance, depth):
    inner = [a_filter(chance, depth - 1) for _ in range(chance.randrange(1, 3))]
    chance.choice([asked.any_of, asked.none_of]).extend(inner)


@pytest.mark.parametrize(("open_store", "tries"), [("sqlite", 250), ("postgres", 120)], indirect=["open_store"])
async def test_a_filter_finds_what_its_words_say(server, writer, tries):
    chance = random.Random(11)
    known = [Known(chance) for _ in range(70)]
    writer.write(Batch(entries=[each.entry for each in known]))
    for turn in range(3):
        writer.write(Batch(feedback=[each.judged[turn] for each in known if len(each.judged) > turn]))
    found, asked = 0, (a_filter(chance) for _ in count())
    for _ in range(tries):
        wanted = next(asked)
        got = await server.all(filter=wanted, selection=EVERYTHING, output=RECORDS)
        expected = [seq for seq, each in enumerate(known, 1) if meets(wanted, each, outermost=True)]
        assert [record.seq for record in got.records] == expected, wanted
        found += 0 < len(expected) < 35
    assert found > tries / 3
