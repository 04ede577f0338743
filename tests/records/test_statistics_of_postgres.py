"""What PostgreSQL's planner samples: no content ever, and nothing of what has been erased."""

import pytest

from llmproxy_grpc.records.record import Body
from llmproxy_grpc.records.store import Batch, Erase, Page, StoreUnfit
from tests.fakes.records import a_judgement, an_entry, rows_of

SECRET = "canary-7f3a91"
CONTENT = {
    ("record", "error"),
    ("record", "labels"),
    ("body", "request"),
    ("body", "response"),
    ("line", "line"),
    ("feedback", "content"),
}
"""What was said, asked for or complained of."""


@pytest.fixture
def samples(postgres, postgres_store):
    """Looks at every sample of the schema, once the planner has taken its own."""

    def look():
        seen = (
            "SELECT concat_ws('|', tablename, attname, concat(most_common_vals, histogram_bounds)) FROM pg_stats "
            f"WHERE schemaname = '{postgres_store.schema}'"
        )
        rows = postgres.sql(seen, database="records").splitlines()
        return [row.split("|", 2) for row in rows]

    return look


def analyze(postgres):
    postgres.sql("ANALYZE", database="records")


def secrets(count, **different):
    """Records all of whose content, labels and errors say the same, so that a sample would."""
    said = SECRET.encode()
    body = Body(said * 3, said, said)
    return [an_entry(body, labels={"k": SECRET}, error=said, **different) for _ in range(count)]


def write(writer, entries):
    judged = [a_judgement(entry.record.id, content=SECRET.encode()) for entry in entries]
    writer.write(Batch(entries=entries, feedback=judged))


def of_version_2(schema):
    """Makes a schema what it was before samples were thought of."""
    return f"DROP TABLE {schema}.secret", f"UPDATE {schema}.llmproxy_schema SET version = 2"


def columns(samples):
    return {(table.rstrip("_0123456789"), column) for table, column, _ in samples}


def test_content_is_never_sampled_in_old_partitions_and_in_new_ones(postgres, postgres_store, samples):
    writer = postgres_store().writer()
    write(writer, secrets(20))
    analyze(postgres)
    seen = columns(samples())
    assert seen & CONTENT == set()
    assert {("record", "end_user"), ("label", "value"), ("feedback", "name"), ("body", "seq")} <= seen
    writer.close()


def test_samples_that_an_earlier_version_let_be_taken_go_with_the_migration(postgres, postgres_store, samples):
    writer = postgres_store().writer()
    write(writer, secrets(20))
    writer.close()
    schema = postgres_store.schema
    tables = postgres.sql(
        f"SELECT relname FROM pg_class WHERE relnamespace = '{schema}'::regnamespace AND relkind IN ('r', 'p')",
        database="records",
    ).split()
    undone = [
        f"ALTER TABLE {schema}.{table} ALTER COLUMN {column} SET STATISTICS -1"
        for table in tables
        for of, column in CONTENT
        if table.rstrip("_0123456789") == of
    ]
    postgres.sql(*undone, *of_version_2(schema), database="records")
    analyze(postgres)
    assert columns(samples()) >= CONTENT
    postgres_store()
    assert columns(samples()) & CONTENT == set()
    analyze(postgres)
    assert columns(samples()) & CONTENT == set()


def test_a_view_that_bars_the_migration_is_named_and_nothing_is_half_done(postgres, postgres_store):
    postgres_store()
    schema = postgres_store.schema
    view = f"CREATE VIEW {schema}.mine AS SELECT labels FROM {schema}.record"
    postgres.sql(view, *of_version_2(schema), database="records")
    with pytest.raises(StoreUnfit, match=r'view mine depends on column "labels".*; drop it'):
        postgres_store()
    postgres.sql(f"DROP VIEW {schema}.mine", database="records")
    postgres_store()


def test_who_was_erased_is_in_no_sample(postgres, postgres_store, samples):
    writer = postgres_store().writer()
    write(writer, secrets(20, end_user=SECRET, conversation=SECRET))  # two whole partitions, and half of a third
    write(writer, [an_entry(labels={"k": "v"}, end_user="bob") for _ in range(12)])
    analyze(postgres)
    assert any(SECRET in sample for _, _, sample in samples())
    assert writer.erase(Erase(end_user=SECRET), "request") == 20
    assert [sample for sample in samples() if SECRET in sample[2]] == []
    writer.close()


def test_a_partition_that_an_erasure_has_emptied_is_made_again_when_it_is_written_to(postgres_store):
    store = postgres_store()
    writer, reader = store.writer(), store.reader()
    write(writer, secrets(4, end_user="ann"))
    assert writer.erase(Erase(end_user="ann"), "request") == 4
    assert rows_of(reader, Page(tenant="default", as_of_seq=100)) == []
    write(writer, secrets(2, end_user="bob"))
    assert [record.seq for record in rows_of(reader, Page(tenant="default", as_of_seq=100))] == [5, 6]
    writer.close()
    reader.close()
