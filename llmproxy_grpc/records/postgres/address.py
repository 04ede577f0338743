"""Addresses of PostgreSQL databases: what is wrong with one before anybody connects, and what of it may be shown."""

import re
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs

from llmproxy_grpc.config.schema import Config
from llmproxy_grpc.config.tree import Problem

FORM: Final = "postgresql://USER@HOST:PORT/DATABASE"
DRIVER: Final = "asyncpg"

_HOST: Final = r"(?:\[[0-9A-Fa-f:.]+(?:%[\w.-]+)?\]|[\w.%-]+)(?::\d{1,5})?"
_PORT: Final = re.compile(r":(\d+)(?=,|$)")
# In parts that cannot be mistaken for each other: what stands before the one sign @ is the only place of a password.
_ADDRESS: Final = re.compile(
    rf"postgres(?:ql)?://(?:[^@/?#\[\]\s]*@)?(?P<hosts>(?:{_HOST}(?:,{_HOST})*)?)"
    r"(?:/(?P<database>[^@/?#\s]*))?(?:\?(?P<settings>[^#\s]*))?"
)
_CHOICES: Final[Mapping[str, Sequence[str]]] = {
    "sslmode": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "sslnegotiation": ("postgres", "direct"),
    "target_session_attrs": ("any", "primary", "standby", "prefer-standby", "read-write", "read-only"),
}
_FILES: Final = ("sslcert", "sslkey", "sslrootcert", "sslcrl")
_PORTS: Final = range(1, 65536)


def usable_store(config: Config) -> Iterator[Problem]:
    """A rule for the loader: a PostgreSQL store has its driver, and an address that can lead to a database."""
    records = config.records
    if not records.enabled or not is_postgres(records.store):
        return
    path = ("records", "store")
    if find_spec(DRIVER) is None:
        yield Problem(path, f"takes {DRIVER}, of the extra `postgres` of llmproxy-grpc")
    if (fault := fault_of(records.store)) is not None:
        yield Problem(path, fault, hidden=True)


def is_postgres(store: str) -> bool:
    """Whether a store is a PostgreSQL database."""
    return store.startswith(("postgresql://", "postgres://"))


def fault_of(address: str) -> str | None:
    """What keeps an address from ever leading to a database; None if that cannot be told without connecting."""
    parts = _ADDRESS.fullmatch(address)
    if parts is None or any(int(port) not in _PORTS for port in _PORT.findall(parts["hosts"])):
        return f"must be {FORM}; a sign such as @, / or ? in a password is written as %40, %2F or %3F"
    try:
        settings = parse_qs(parts["settings"] or "", strict_parsing=bool(parts["settings"]))
    except ValueError:
        return f"must have its settings as {FORM}?NAME=VALUE&NAME=VALUE"
    given = {name: values[-1] for name, values in settings.items()}
    for name, choices in _CHOICES.items():
        if name in given and given[name] not in choices:
            return f"must have as {name} one of {', '.join(choices)}"
    for name in _FILES:
        if name in given and given.get("sslmode") != "disable" and not Path(given[name]).is_file():
            return f"names a file as {name} that is not there"
    return None


def shown(address: str) -> str:
    """Where a database is, for people: hosts, ports and name, if there is no doubt what is what in the address."""
    parts = _ADDRESS.fullmatch(address)
    if parts is None or "@" in (parts["settings"] or ""):
        return "a PostgreSQL database"
    database = parts["database"]
    return f"postgresql://{parts['hosts']}" + (f"/{database}" if database else "")
