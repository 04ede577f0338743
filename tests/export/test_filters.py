"""Filters as SQL agree with plain comparison, and use indexes."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmproxy_grpc._gen.v1 import export_pb2 as pb
from llmproxy_grpc.export.scan import Scanner
from llmproxy_grpc.messages import Role
from llmproxy_grpc.records.decoding import read_texts
from llmproxy_grpc.records.filters import (
    FeedbackCondition,
    Filter,
    LabelCondition,
    LabelOperator,
    NumberCondition,
    NumberField,
    TextCondition,
    Window,
)
from llmproxy_grpc.records.matching import Facts, matches
from llmproxy_grpc.records.record import FeedbackKind, spell_id
from llmproxy_grpc.records.sql import condition
from llmproxy_grpc.records.store import Batch
from llmproxy_grpc.server.export_request import to_filter
from llmproxy_grpc.server.validation import bounds, validate_export
from tests.fakes.exports import a_chat
from tests.fakes.records import a_judgement, an_id

LABELS = ["", "a", "ab", "abc", "b", "é", "\ud7ff", "\U0010ffff", "\U0010ffffz"]
WORDS = ["Straße", "tea", "TEA", "tea pot", "é", "100%", "_", "'"]
NAMES = ["helpful", "grade"]
SOURCES = ["user", "grader"]
COUNT = 60


def entries():
    """Records that differ in everything that a filter can ask for, by turns of different lengths."""
    return [
        a_chat(
            WORDS[number % 8],
            f"{WORDS[number % 5]} {number}",
            labels={"k": LABELS[number % 9], **({"team": "x"} if number % 3 else {})} if number % 5 else None,
            started_at=number // 2 * 10,
            model=f"m{number % 3}",
            provider=f"p{number % 2}",
            upstream_model=f"u{number % 4}",
            grpc_code=number % 4,
            finish_reasons=(1 << number % 3) | (1 << number % 7),
            end_user=f"e{number % 5}" if number % 4 else "",
            conversation=f"c{number % 6}",
            caller_key_id=f"key{number % 2}",
            method=("Chat", "Stream", "Embed")[number % 3],
            has_tool_calls=number % 2 == 0,
            has_media=number % 3 == 0,
            fell_back=number % 4 == 0,
            input_tokens=number if number % 6 else None,
            output_tokens=2 * number,
            total_tokens=3 * number if number % 6 else None,
            cost_nanos=number * 100_000_000 if number % 7 else None,
            latency_us=number * 100_000,
            ttft_us=number * 1000 if number % 2 else None,
            keep=number % 11 != 0,
        )
        for number in range(COUNT)
    ]


def judgements(stored):
    """Of two records in three one or more, of which later ones replace earlier ones."""
    found = []
    for number, entry in enumerate(stored):
        for turn in range(number % 3 + number % 5):
            kind = FeedbackKind(turn % 4 + 1)
            numbers = {
                FeedbackKind.THUMBS: float((number + turn) % 2),
                FeedbackKind.SCORE: (number * 7 + turn) % 11 / 10,
            }
            found.append(
                a_judgement(
                    entry.record.id,
                    name=NAMES[(number + turn // 2) % 2],
                    kind=kind,
                    number=numbers.get(kind),
                    content=None if kind in numbers else b"",
                    source=SOURCES[(number + turn) // 3 % 2],
                )
            )
    return found + found[::4]


@pytest.fixture
def stored(writer, reader):
    """The records as the store has them, their feedback, and how far that reaches."""
    chats = entries()
    writer.write(Batch(entries=chats))
    first = judgements(chats)
    again = [
        a_judgement(
            each.record_id,
            name=each.name,
            kind=each.kind,
            number=1.0 - (each.number or 0),
            content=each.content,
            source=each.source,
        )
        for each in first[::3]
    ]
    writer.write(Batch(feedback=first))
    writer.write(Batch(feedback=again))
    return reader


def some(values, most=3):
    return st.lists(st.sampled_from(values), max_size=most).map(tuple)


maybe = st.sampled_from([None, None, True, False])
tenths = st.one_of(st.none(), st.integers(-2, 12).map(lambda number: number / 10))
labels = st.builds(
    LabelCondition,
    st.sampled_from(["k", "team", "none"]),
    st.sampled_from(LabelOperator),
    st.lists(st.sampled_from(LABELS), min_size=1, max_size=3).map(tuple),
)
feedback = st.builds(
    FeedbackCondition,
    name=st.sampled_from(NAMES),
    thumbs_up=maybe,
    min_score=tenths,
    max_score=tenths,
    has_demonstration=maybe,
    source=st.sampled_from(["", *SOURCES]),
)
numbers = st.builds(
    NumberCondition, st.sampled_from(NumberField), tenths, st.one_of(tenths, st.integers(0, 200).map(float))
)
texts = st.builds(
    TextCondition,
    st.sampled_from([*WORDS, "strasse", "x"]),
    st.booleans(),
    some([Role.USER, Role.ASSISTANT], 1),
    st.booleans(),
)


def filters(depth, ids):
    inner = filters(depth - 1, ids) if depth else st.nothing()
    nested = st.lists(inner, max_size=2).map(tuple) if depth else st.just(())
    rarely = lambda strategy: st.one_of(st.just(()), st.just(()), strategy)  # noqa: E731 - most conditions are unset
    return st.builds(
        Filter,
        start_us=st.one_of(st.none(), st.none(), st.integers(0, 400)),
        end_us=st.one_of(st.none(), st.none(), st.integers(0, 400)),
        record_ids=rarely(some(ids, 30)),
        models=rarely(some(["m0", "m1", "zz"])),
        providers=rarely(some(["p0", "p1"])),
        upstream_models=rarely(some(["u0", "u1", "u2"])),
        grpc_codes=rarely(some([0, 1, 2, 3])),
        finish_reasons=rarely(some([0, 1, 2, 5])),
        end_user_ids=rarely(some(["e0", "e1", "e2"])),
        conversation_ids=rarely(some(["c0", "c1", "c5"])),
        caller_key_ids=rarely(some(["key0", "key1"])),
        methods=rarely(some(["Chat", "Embed"])),
        labels=rarely(st.lists(labels, max_size=2).map(tuple)),
        feedback=rarely(st.lists(feedback, max_size=2).map(tuple)),
        numbers=rarely(st.lists(numbers, max_size=2).map(tuple)),
        texts=rarely(st.lists(texts, max_size=2).map(tuple)),
        has_tool_calls=maybe,
        has_media=maybe,
        fell_back=maybe,
        any_of=nested,
        none_of=nested,
    )


def found_by_scan(reader, asked, window):
    scanner, after, found = Scanner(reader, asked, window, ("seq", "content_bytes")), window.after_seq, []
    while after < window.as_of_seq:
        block = scanner.block(after, 7)
        after, found = block.reached, [*found, *(row[0] for row in block.rows)]
    return found


def found_by_hand(reader, asked, window):
    seqs = range(window.after_seq + 1, window.as_of_seq + 1)
    records = reader.records("default", list(seqs))
    bodies = reader.bodies("default", list(seqs))
    judged = reader.feedback("default", [record.id for record in records.values()], window.as_of_feedback_seq)
    return [
        seq
        for seq in seqs
        if matches(
            asked,
            Facts(
                record=records[seq],
                labels=json.loads(records[seq].labels or "{}"),
                feedback=judged.get(records[seq].id, ()),
                texts=read_texts(bodies[seq]) if seq in bodies else (),
            ),
        )
    ]


def test_any_filter_finds_what_plain_comparison_finds(stored, request):
    last = stored.watermarks("default").feedback_seq
    ids = [spell_id(record.id) for record in stored.records("default", list(range(1, COUNT + 1))).values()]

    @settings(max_examples=60 if "postgres" in request.node.name else 250, deadline=None, database=None)
    @given(filters(2, ids), st.integers(0, COUNT), st.integers(0, COUNT), st.integers(0, last))
    def agrees(asked, after, until, judged):
        window = Window("default", min(after, until), max(after, until), judged)
        assert found_by_scan(stored, asked, window) == found_by_hand(stored, asked, window)

    agrees()


def test_records_are_found_by_their_ids(stored):
    window = Window("default", 0, COUNT, 0)
    records = stored.records("default", [3, 5])
    asked = Filter(record_ids=tuple(spell_id(record.id) for record in records.values()))
    assert found_by_scan(stored, asked, window) == [3, 5]
    assert found_by_hand(stored, asked, window) == [3, 5]


def nested(inner, depth):
    """A filter within that many others."""
    for level in range(depth):
        inner = pb.ExportFilter(any_of=[inner]) if level % 2 else pb.ExportFilter(none_of=[inner])
    return inner


LARGEST = {
    "prefixes": pb.ExportFilter(
        labels=[
            pb.LabelCondition(
                key="k", operator=pb.LABEL_OPERATOR_PREFIX, values=[f"x{n}" for n in range(9_990)] + ["a"]
            )
        ]
    ),
    "labels": pb.ExportFilter(labels=[pb.LabelCondition(key="k")] * bounds.MAX_CONDITIONS),
    "numbers": pb.ExportFilter(numbers=[pb.NumberCondition(field=1, min=5, max=30)] * bounds.MAX_CONDITIONS),
    "judgements": pb.ExportFilter(
        feedback=[pb.FeedbackCondition(name="grade", thumbs_up=True, min_score=0, max_score=1, has_demonstration=False)]
        * bounds.MAX_CONDITIONS
    ),
    "ends": pb.ExportFilter(end_user_ids=[f"x{n}" for n in range(9_998)] + ["e1", "e2"]),
}


@pytest.mark.parametrize("depth", [0, 6])
@pytest.mark.parametrize("kind", LARGEST)
def test_the_largest_filters_that_are_allowed_are_looked_for(stored, kind, depth):
    request = pb.ExportRequest(filter=nested(LARGEST[kind], depth))
    assert validate_export(request) == []
    asked = to_filter(request.filter, lambda end_user: (end_user, f"hash of {end_user}"), outermost=False)
    window = Window("default", 0, COUNT, stored.watermarks("default").feedback_seq)
    found = found_by_scan(stored, asked, window)
    assert found == found_by_hand(stored, asked, window)
    assert 0 < len(found) < COUNT


@pytest.mark.parametrize("words", [[], [pb.TextCondition(contains="t")]], ids=["alone", "beside words"])
def test_records_are_found_by_ids_in_upper_case(writer, reader, words):
    chats = [a_chat("tea", id=an_id(0xABC + number)) for number in range(3)]
    writer.write(Batch(entries=chats))
    window = Window("default", 0, 3, 0)
    spelled = [spell_id(chat.record.id).upper() for chat in chats[1:]]
    asked = to_filter(pb.ExportFilter(record_ids=spelled, texts=words), str, outermost=False)
    assert found_by_scan(reader, asked, window) == found_by_hand(reader, asked, window) == [2, 3]


def test_another_tenants_records_are_never_found(stored):
    assert found_by_scan(stored, Filter(), Window("other", 0, COUNT, 10**6)) == []
    asked = Filter(labels=(LabelCondition("k"),), feedback=(FeedbackCondition("helpful"),))
    assert found_by_scan(stored, asked, Window("other", 0, COUNT, 10**6)) == []


def test_what_another_tenant_says_of_a_record_changes_nothing(writer, reader):
    chat = a_chat()
    writer.write(Batch(entries=[chat]))
    writer.write(Batch(feedback=[a_judgement(chat.record.id)]))
    writer.write(Batch(feedback=[a_judgement(chat.record.id, number=0.0, tenant="other")]))
    asked = Filter(feedback=(FeedbackCondition("helpful", thumbs_up=True),))
    assert found_by_scan(reader, asked, Window("default", 0, 1, 10**6)) == [1]


INDEXED = {
    "label": Filter(labels=(LabelCondition("k", LabelOperator.IN, ("a",)),)),
    "label prefix": Filter(labels=(LabelCondition("k", LabelOperator.PREFIX, ("a",)),)),
    "score": Filter(feedback=(FeedbackCondition("grade", min_score=0.9),)),
    "thumb": Filter(feedback=(FeedbackCondition("helpful", thumbs_up=False),)),
    "id": Filter(record_ids=("00000000-0000-0000-1000-000000000001",)),
    "conversation": Filter(conversation_ids=("c1",)),
    "end user": Filter(end_user_ids=("e1", "e2")),
    "both": Filter(
        labels=(LabelCondition("k", LabelOperator.IN, ("a",)),), feedback=(FeedbackCondition("grade", min_score=0.9),)
    ),
}


@pytest.mark.parametrize("open_store", ["sqlite"], indirect=True)
@pytest.mark.parametrize("name", INDEXED)
def test_labels_and_judgements_are_looked_up_by_their_indexes(stored, name):
    asked = condition(INDEXED[name], Window("default", 0, COUNT, 10**6))
    sql = (
        "EXPLAIN QUERY PLAN SELECT r.seq FROM record AS r "
        f"WHERE +r.tenant = ? AND r.seq > ? AND r.seq <= ? AND ({asked.sql}) ORDER BY r.seq LIMIT ?"
    )
    plan = [row[3] for row in stored.query("default", sql, (0, COUNT, *asked.values, 512))]
    assert plan[0] in {
        "SEARCH r USING INTEGER PRIMARY KEY (rowid=?)",
        "SEARCH r USING INDEX record_id (id=?)",
        "SEARCH r USING INDEX record_id (id=? AND rowid>? AND rowid<?)",
    }
    assert not any(step.startswith("SCAN") for step in plan)


@pytest.mark.parametrize("open_store", ["postgres"], indirect=True)
def test_nothing_is_read_from_end_to_end_for_what_is_rare(writer, reader, postgres):
    chats = [
        a_chat(
            keep=False,
            labels={"k": "a" if number % 300 == 0 else f"b{number % 50}"},
            conversation=f"c{number}",
            end_user=f"e{number}",
        )
        for number in range(6000)
    ]
    writer.write(Batch(entries=chats))
    writer.write(Batch(feedback=[a_judgement(chat.record.id, name="grade", number=0.5) for chat in chats[::3]]))
    writer.write(Batch(feedback=[a_judgement(chat.record.id, number=1.0) for chat in chats[::4]]))
    postgres.sql("ANALYZE", database="records")
    read_whole = {}
    for name, asked in INDEXED.items():
        compiled = condition(asked, Window("default", 0, len(chats), 10**6))
        sql = (
            "EXPLAIN SELECT r.seq FROM record AS r "
            f"WHERE r.tenant = ? AND r.seq > ? AND r.seq <= ? AND ({compiled.sql}) ORDER BY r.seq LIMIT ?"
        )
        plan = [row[0] for row in reader.query("default", sql, (0, len(chats), *compiled.values, 512))]
        read_whole[name] = [step.strip() for step in plan if "Seq Scan" in step]
    assert read_whole == {name: [] for name in INDEXED}
