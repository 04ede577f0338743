"""Addresses of PostgreSQL: what is wrong with one is said before anybody connects, and no password is ever shown."""

import socket

import asyncpg.connect_utils as driver
import pytest
from hypothesis import given
from hypothesis import strategies as some

from llmproxy_grpc.records.postgres import address as addresses
from llmproxy_grpc.records.postgres.address import fault_of, shown
from llmproxy_grpc.records.postgres.store import PostgresStore
from llmproxy_grpc.records.store import StoreError, StoreUnavailable, StoreUnfit

GOOD = {
    "postgresql://db.internal/records": "postgresql://db.internal/records",
    "postgres://u:canary@db:5432/records": "postgresql://db:5432/records",
    "postgresql://u:c%40n%2Fary@[::1]:5432/records?sslmode=verify-full": "postgresql://[::1]:5432/records",
    "postgresql://u@[fe80::1%eth0]/records": "postgresql://[fe80::1%eth0]/records",
    "postgresql://u:canary@one,two:5433/records?target_session_attrs=read-write": "postgresql://one,two:5433/records",
    "postgresql:///records?host=/run/postgresql&password=canary": "postgresql:///records",
    "postgresql://u@%2Frun%2Fpostgresql/records": "postgresql://%2Frun%2Fpostgresql/records",
    "postgresql://": "postgresql://",
    "postgresql://u@db/records?password=c@nary": "a PostgreSQL database",
    "postgresql://u@db/records?sslmode=disable&sslcert=/not/there": "postgresql://db/records",
}
BAD = {
    "postgresql://u:canary@[::1/records": "postgresql://USER@HOST:PORT/DATABASE",
    "postgresql://u:canary@db:port/records": "postgresql://USER@HOST:PORT/DATABASE",
    "postgresql://u:canary@db:0/records": "postgresql://USER@HOST:PORT/DATABASE",
    "postgresql://u:canary@db:65536/records": "postgresql://USER@HOST:PORT/DATABASE",
    "postgresql://u:canary@db,:70000/records": "postgresql://USER@HOST:PORT/DATABASE",
    "postgresql://u:c@nary@db/records": "%40",
    "postgresql://u:1/canary@db/records": "%2F",
    "postgresql://u:ca#nary@db/records": "postgresql://USER@HOST:PORT/DATABASE",
    "postgresql://u:canary@db/records?sslmode": "?NAME=VALUE",
    "postgresql://u:canary@db/records?sslmode=verify": "sslmode one of disable, allow, prefer, require, verify-",
    "postgresql://u:canary@db/records?sslmode=verify_full": "sslmode one of",
    "postgresql://u:canary@db/records?target_session_attrs=writer": "target_session_attrs one of any, primary",
    "postgresql://u:canary@db/records?sslmode=require&sslnegotiation=fast": "sslnegotiation one of postgres, direct",
    "postgresql://u:canary@db/records?sslmode=verify-ca&sslrootcert=/not/there": "sslrootcert that is not there",
}


@pytest.mark.parametrize("address", GOOD)
def test_a_good_address_has_no_fault_and_is_shown_without_user_and_password(address):
    assert fault_of(address) is None
    assert shown(address) == GOOD[address]


@pytest.mark.parametrize("address", BAD)
def test_what_can_never_lead_to_a_database_is_said_without_connecting(address):
    fault = fault_of(address)
    assert BAD[address] in fault
    assert "canary" not in fault
    with pytest.raises(StoreUnfit, match=r"^records\.store: ") as raised:
        PostgresStore(address, spool="host")
    assert "canary" not in str(raised.value)


def test_a_file_of_the_settings_that_is_there_is_no_fault(tmp_path):
    file = tmp_path / "ca.pem"
    file.touch()
    assert fault_of(f"postgresql://db/records?sslmode=verify-ca&sslrootcert={file}") is None


@given(*[some.text("@/?#:[]%1a,&=. ", max_size=4)] * 2)
def test_however_odd_a_password_is_it_is_never_shown(before, behind):
    assert "canary" not in shown(f"postgresql://user:{before}canary{behind}@db.internal:5432/records")


def test_the_choices_of_each_setting_are_those_of_the_driver():
    spelled = {
        "sslmode": [mode.name.replace("_", "-") for mode in driver.SSLMode],
        "sslnegotiation": [way.value for way in driver.SSLNegotiation],
        "target_session_attrs": [kind.value for kind in driver.SessionAttribute],
    }
    assert {name: list(choices) for name, choices in addresses._CHOICES.items()} == spelled


def test_a_server_that_refuses_connections_is_told_by_its_place_and_the_reason():
    with socket.socket() as taken:  # bound, and nobody listens
        taken.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(StoreUnavailable) as raised:
            PostgresStore(f"postgresql://u:canary@{place}/records", spool="host")
    assert str(raised.value) == f"postgresql://{place}/records: Connection refused"


def test_a_host_with_several_addresses_is_told_with_the_reason_of_each():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        place = f"localhost:{taken.getsockname()[1]}"
        with pytest.raises(StoreUnavailable, match=f"^postgresql://{place}/records: Connection refused") as raised:
            PostgresStore(f"postgresql://u:canary@{place}/records", spool="host")
    assert "canary" not in str(raised.value)


def test_a_host_without_an_address_is_told():
    with pytest.raises(StoreUnavailable, match=r"^postgresql://nowhere\.invalid/records: .* ") as raised:
        PostgresStore("postgresql://u:canary@nowhere.invalid/records", spool="host")
    assert "canary" not in str(raised.value)


def test_a_server_without_tls_or_the_database_is_told(postgres):
    place = f"127.0.0.1:{postgres.port}"
    for end, reason in (
        ("records?sslmode=require", "the server takes no TLS"),
        ("nothing", "there is no such database (InvalidCatalogNameError 3D000)"),
    ):
        with pytest.raises(StoreUnavailable) as raised:
            PostgresStore(f"postgresql://llmproxy:canary@{place}/{end}", spool="host")
        assert str(raised.value) == f"postgresql://{place}/{end.partition('?')[0]}: {reason}"


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("PGSSLMODE", "verify", "`sslmode` parameter must be one of"),
        ("PGTARGETSESSIONATTRS", "writer", "target_session_attrs"),
        ("PGPORT", "port", "the PG… variables of the environment"),
    ],
)
def test_settings_of_the_environment_that_can_never_work_are_no_trouble_of_the_moment(
    monkeypatch, variable, value, words
):
    monkeypatch.setenv(variable, value)
    with pytest.raises(StoreError) as raised:
        PostgresStore("postgresql://u:canary@127.0.0.1/records", spool="host")
    assert isinstance(raised.value, StoreUnfit)
    assert words in str(raised.value)
    assert "canary" not in str(raised.value)
    assert "\n" not in str(raised.value)
