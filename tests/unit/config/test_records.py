from pathlib import Path

import pytest

from llmproxy_grpc.config.faults import ConfigError
from llmproxy_grpc.config.loader import load


def faults(tmp_path, text):
    file = tmp_path / "llmproxy.yaml"
    file.write_text(text)
    try:
        return load(file, [], {}, tmp_path).config.records
    except ConfigError as error:
        return [str(fault) for fault in error.faults]


@pytest.mark.parametrize("store", ["sqlite", "postgresql://db/llm", "postgres://u@db:5432/llm?sslmode=require"])
def test_a_store_is_sqlite_or_an_address(tmp_path: Path, store):
    assert faults(tmp_path, f"records: {{store: '{store}'}}").store == store


@pytest.mark.parametrize("store", ["mysql://db", "sqlite3", "", "/tmp/x.db"])
def test_another_store_is_refused(tmp_path, store):
    [fault] = faults(tmp_path, f"records: {{store: '{store}'}}")
    assert "llmproxy.yaml:1: records.store: " in fault


def test_a_password_in_a_wrong_address_is_not_shown(tmp_path):
    [fault] = faults(tmp_path, "records: {store: 'postgress://u:canary@db'}")
    assert "canary" not in fault


def test_records_are_kept_by_default(tmp_path):
    records = faults(tmp_path, "{}")
    assert (records.enabled, records.content, records.durability, records.retention) == (True, "full", "spool", 2592000)
