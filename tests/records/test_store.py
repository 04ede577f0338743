"""What every store of records does."""

import pytest

from llmproxy_grpc.records.record import Body, Entry, FeedbackKind, OpenCall, Record, Watermarks
from llmproxy_grpc.records.store import Batch, Condition, Erase, Page, StoreRefused
from tests.fakes.records import a_judgement, a_record, an_entry, an_id, rows_of

EVERYTHING = Page(tenant="default", as_of_seq=10**9)


def test_an_empty_store_has_no_rows_and_no_watermarks(reader):
    assert reader.watermarks("default") == Watermarks(0, 0)
    assert rows_of(reader, EVERYTHING) == []
    assert reader.statistics().records == 0
    assert reader.statistics().oldest is None


def test_a_record_comes_back_as_it_was_with_position_and_time_of_the_store(writer, reader):
    entry = an_entry(
        labels={"team": "search", "é": "ü\x00"},
        input_tokens=5,
        cost_nanos=2**62,
        cost_currency="USD",
        error=b"\x00\xff",
        fell_back=True,
        dkey=b"d" * 16,
        ancestors=b"a" * 32,
        training_ok=False,
    )
    assert writer.write(Batch(entries=[entry])).records == 1
    [stored] = rows_of(reader, EVERYTHING)
    values = {name: getattr(entry.record, name) for name in Record.__struct_fields__}
    assert stored == Record(**{**values, "seq": 1, "ingested_at": 1_000_000})
    assert reader.records("default", [1, 2]) == {1: stored}


def test_positions_have_no_gaps_and_follow_the_order_of_commits(writer, reader):
    late, early = an_entry(started_at=9), an_entry(started_at=1)
    writer.write(Batch(entries=[late]))
    writer.write(Batch(entries=[early, an_entry()]))
    assert [record.seq for record in rows_of(reader, EVERYTHING)] == [1, 2, 3]
    assert reader.watermarks("default").seq == 3


def test_the_same_record_is_stored_once(writer, reader):
    entry = an_entry()
    assert writer.write(Batch(entries=[entry, entry])).records == 1
    assert writer.write(Batch(entries=[entry, an_entry()])).records == 1
    assert [record.seq for record in rows_of(reader, EVERYTHING)] == [1, 2]


def test_a_batch_with_a_row_that_cannot_be_stored_leaves_nothing_behind(writer, reader):
    with pytest.raises(StoreRefused):
        writer.write(Batch(entries=[an_entry(), an_entry(started_at=2**80)], progress={"s": 5}))
    assert writer.progress() == {}
    writer.write(Batch(entries=[an_entry()]))
    assert [record.seq for record in rows_of(reader, EVERYTHING)] == [1]


def test_a_position_is_never_used_again(writer, reader):
    entry = an_entry()
    writer.write(Batch(entries=[an_entry(), entry]))
    writer.erase(Erase(id=entry.record.id), "request")
    writer.write(Batch(entries=[an_entry()]))
    assert [record.seq for record in rows_of(reader, EVERYTHING)] == [1, 3]


def test_a_tenant_sees_its_own_rows_alone(writer, reader):
    theirs = an_entry(tenant="b", labels={"k": "v"}, body=Body(b"x", b"y", b"{}"))
    writer.write(Batch(entries=[an_entry(), theirs], feedback=[a_judgement(theirs.record.id, tenant="b")]))
    assert [record.seq for record in rows_of(reader, Page(tenant="b", as_of_seq=9))] == [2]
    assert reader.watermarks("default") == Watermarks(1, 0)
    assert reader.watermarks("b") == Watermarks(2, 1)
    assert reader.records("default", [2]) == {}
    assert reader.bodies("default", [2]) == {}
    assert reader.lines("default", [2]) == {}
    assert reader.feedback("default", [theirs.record.id], 9) == {}
    assert reader.tombstones("default", 0, 9) == []
    assert writer.parents("default", [b"h"]) == {}


def test_pages_follow_each_other_within_a_window(writer, reader):
    writer.write(Batch(entries=[an_entry(model="ab"[number % 2]) for number in range(10)]))
    seen = []
    after = 2
    while rows := rows_of(reader, Page(tenant="default", after_seq=after, as_of_seq=8, limit=4)):
        seen += [record.seq for record in rows]
        after = seen[-1]
    assert seen == [3, 4, 5, 6, 7, 8]


def test_conditions_are_sql_with_bound_values(writer, reader):
    writer.write(Batch(entries=[an_entry(labels={"team": name}, model="a") for name in ("x", "y", "x'")]))
    labelled = Condition(
        "r.seq IN (SELECT seq FROM label WHERE tenant = r.tenant AND key = ? AND value = ?)", ["team", "x'"]
    )
    page = Page(tenant="default", as_of_seq=9, condition=labelled)
    assert reader.columns(page, ["seq", "model"]) == [(3, "a")]


def test_only_columns_of_a_record_can_be_asked_for(reader):
    with pytest.raises(ValueError, match="no such columns"):
        reader.columns(EVERYTHING, ["seq", "1; DROP TABLE record"])


@pytest.mark.parametrize("size", [0, 1, 511, 512, 100_000])
def test_content_comes_back_to_the_byte(writer, reader, size):
    body = Body(b"r" * size, bytes(range(256)) * (size // 256), b"l" * size, "")
    writer.write(Batch(entries=[an_entry(body)]))
    assert reader.bodies("default", [1]) == {1: body}
    assert reader.lines("default", [1]) == {1: (b"l" * size, "")}


def test_a_line_may_be_missing_or_have_a_fault(writer, reader):
    writer.write(Batch(entries=[an_entry(Body(b"a", b"b")), an_entry(Body(b"a", b"b", None, "no_answer"))]))
    assert reader.lines("default", [1, 2]) == {2: (None, "no_answer")}
    assert reader.bodies("default", [1, 2])[2] == Body(b"a", b"b", None, "no_answer")


def test_a_record_without_content_has_none(writer, reader):
    writer.write(Batch(entries=[Entry(a_record())]))
    assert reader.bodies("default", [1]) == {}
    assert reader.statistics().bodies == 0


def test_many_rows_are_read_by_position(writer, reader):
    writer.write(Batch(entries=[an_entry() for _ in range(1200)]))
    assert len(reader.bodies("default", range(1, 1300))) == 1200


def test_the_latest_judgement_of_each_name_kind_and_source_counts(writer, reader):
    record = an_entry()
    judged = record.record.id
    writer.write(
        Batch(
            entries=[record],
            feedback=[
                a_judgement(judged),
                a_judgement(judged, kind=FeedbackKind.COMMENT, number=None, content=b"fine"),
                a_judgement(judged, source="grader", number=0.0),
            ],
        )
    )
    writer.write(Batch(feedback=[a_judgement(judged, number=0.0)]))
    latest = reader.feedback("default", [judged], 9)[judged]
    assert [(each.fseq, each.kind, each.source, each.number) for each in latest] == [
        (2, FeedbackKind.COMMENT, "user", None),
        (3, FeedbackKind.THUMBS, "grader", 0.0),
        (4, FeedbackKind.THUMBS, "user", 0.0),
    ]
    before = reader.feedback("default", [judged], 3)[judged]
    assert [each.fseq for each in before] == [1, 2, 3]


def test_a_judgement_may_come_before_its_record_and_twice(writer, reader):
    judgement = a_judgement(an_id())
    writer.write(Batch(feedback=[judgement, judgement]))
    writer.write(Batch(feedback=[judgement]))
    assert reader.statistics().feedback == 1
    assert reader.watermarks("default") == Watermarks(0, 1)
    assert len(reader.feedback("default", [judgement.record_id], 1)) == 1


def test_progress_is_committed_with_the_rows_and_forgotten_with_the_segment(writer, open_store):
    writer.write(Batch(entries=[an_entry()], progress={"a": 10, "b": 5}))
    writer.write(Batch(progress={"a": 20}, forget=["b"]))
    other = open_store().writer()
    assert other.progress() == {"a": 20}
    other.close()


def test_open_calls_are_kept_until_they_are_closed(writer):
    first, second = (OpenCall(an_id(number), "w-1", "default", "Chat", 5, "key") for number in (1, 2))
    writer.write(Batch(opened=[first, second]))
    writer.write(Batch(closed=[first.id, an_id()], opened=[second]))
    assert writer.open_calls() == [second]


def test_parents_are_found_by_what_they_contain(writer):
    parent = an_entry(full_hash=b"h" * 16, conversation="c1")
    later = an_entry(full_hash=b"h" * 16, conversation="c2")
    writer.write(Batch(entries=[parent, later, an_entry()]))
    found = writer.parents("default", [b"x" * 16, b"h" * 16])
    assert found == {b"h" * 16: (parent.record.id, "c1")}


def test_old_records_of_many_tenants_expire_a_few_at_a_time_as_well(writer):
    writer.write(Batch(entries=[an_entry(tenant=f"t{number % 3}", started_at=1) for number in range(7)]))
    assert [writer.expire(20, 3) for _ in range(4)] == [3, 3, 1, 0]


def test_old_records_expire_a_few_at_a_time_with_what_hangs_on_them(writer, reader):
    old = [an_entry(started_at=number, labels={"k": "v"}, body=Body(b"a", b"b", b"c")) for number in range(5)]
    young = an_entry(started_at=100)
    judgements = [a_judgement(entry.record.id) for entry in (old[0], young)]
    waiting = a_judgement(an_id(), created_at=1)
    writer.write(Batch(entries=[*old, young], feedback=[*judgements, waiting]))
    assert [writer.expire(50, 3), writer.expire(50, 3), writer.expire(50, 3)] == [3, 2, 0]
    assert [writer.expire_feedback(50, 3), writer.expire_feedback(50, 3)] == [1, 0]
    statistics = reader.statistics()
    assert (statistics.records, statistics.bodies, statistics.feedback, statistics.tombstones) == (1, 1, 1, 0)
    assert reader.query("default", "SELECT count(*) FROM label WHERE tenant = ?") == [(0,)]
    assert reader.watermarks("default") == Watermarks(6, 3)


@pytest.mark.parametrize(
    "what",
    [Erase(id=an_id(77)), Erase(end_user="ann"), Erase(conversation="c"), Erase(tenant="default", end_user="ann")],
)
def test_what_is_erased_leaves_a_tombstone_alone(writer, reader, what):
    gone = an_entry(id=an_id(77), end_user="ann", conversation="c", labels={"k": "v"}, body=Body(b"a", b"b", b"c"))
    stays = an_entry(end_user="bob", conversation="d")
    writer.write(Batch(entries=[gone, stays], feedback=[a_judgement(gone.record.id)]))
    assert writer.erase(what, "request") == 1
    assert [record.seq for record in rows_of(reader, EVERYTHING)] == [2]
    [stone] = reader.tombstones("default", 0, 9)
    assert (stone.id, stone.seq, stone.reason, stone.at) == (gone.record.id, 1, "request", 1_000_000)
    assert reader.statistics().feedback == 0
    written = writer.write(Batch(entries=[gone], feedback=[a_judgement(gone.record.id)]))
    assert (written.records, written.erased) == (0, 1)
    assert reader.statistics().feedback == 0
    assert writer.erase(what, "request") == 0


def test_an_id_can_be_erased_before_its_record_comes(writer, reader):
    entry = an_entry()
    writer.write(Batch(feedback=[a_judgement(entry.record.id)]))
    assert writer.erase(Erase(id=entry.record.id), "request") == 0
    assert writer.write(Batch(entries=[entry])).erased == 1
    assert reader.statistics().feedback == 0


def test_another_tenants_records_are_not_erased(writer, reader):
    writer.write(Batch(entries=[an_entry(tenant="b", end_user="ann")]))
    assert writer.erase(Erase(tenant="default", end_user="ann"), "request") == 0
    assert reader.statistics().records == 1


def test_an_id_of_another_tenant_is_left_alone_with_all_that_hangs_on_it(writer, reader):
    entry = an_entry(tenant="a")
    theirs, ours = (a_judgement(entry.record.id, tenant=tenant) for tenant in ("a", "b"))
    writer.write(Batch(entries=[entry], feedback=[theirs, ours]))
    assert writer.erase(Erase(tenant="b", id=entry.record.id), "request") == 0
    assert [each.id for each in reader.feedback("a", [entry.record.id], 9)[entry.record.id]] == [theirs.id]
    assert reader.feedback("b", [entry.record.id], 9) == {}
    assert reader.statistics().tombstones == 0
    assert writer.write(Batch(entries=[entry])).records == 0


def test_an_id_that_one_tenant_keeps_out_is_stored_for_another_and_erased_by_it(writer, reader):
    entry = an_entry(tenant="a")
    assert writer.erase(Erase(tenant="b", id=entry.record.id), "request") == 0
    judgements = [a_judgement(entry.record.id, tenant=tenant) for tenant in ("a", "b")]
    written = writer.write(Batch(entries=[entry], feedback=judgements))
    assert (written.records, written.erased) == (1, 0)
    assert reader.statistics().feedback == 1
    assert writer.erase(Erase(tenant="a", id=entry.record.id), "request") == 1
    assert writer.write(Batch(entries=[entry])).erased == 1
    assert [stone.id for stone in reader.tombstones("a", 0, 9)] == [entry.record.id]


def test_records_without_an_end_user_are_not_erased_by_an_empty_one(writer, reader):
    writer.write(Batch(entries=[an_entry(end_user="")]))
    assert writer.erase(Erase(end_user=""), "request") == 0
    assert reader.statistics().records == 1


def test_readers_and_the_writer_do_not_wait_for_each_other(writer, reader):
    writer.write(Batch(entries=[an_entry()]))
    assert len(rows_of(reader, EVERYTHING)) == 1
    writer.write(Batch(entries=[an_entry()]))
    writer.tidy()
    assert len(rows_of(reader, EVERYTHING)) == 2


def test_a_store_is_there_again_when_it_is_opened_again(writer, open_store):
    writer.write(Batch(entries=[an_entry()]))
    reader = open_store().reader()
    assert len(rows_of(reader, EVERYTHING)) == 1
    reader.close()
