"""What the errors of PostgreSQL and of the way to it mean: try again later, or never."""

import os
import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

import asyncpg

from llmproxy_grpc.records.store import StoreRefused, StoreUnavailable, StoreUnfit

BROKEN: Final = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.InternalClientError,
)
"""Errors after which a session cannot be used any more, or is not known to be usable."""

_REFUSED: Final = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
    TypeError,
    ValueError,
    OverflowError,
)
"""Errors of the rows; every other error is of the place and the moment, or waits for somebody to mend it."""


_MEANINGS: Final[Mapping[str, str]] = {
    "28P01": "the password is not the right one, or there is none",
    "28000": "the role does not exist, or is not let in from here",
    "3D000": "there is no such database",
    "42501": "the role may not do this",
    "08003": "the connection broke",
    "42P01": "a table is not there, or the role may not use its schema",
    "53100": "the disk of the server is full",
    "53300": "there are too many connections",
    "57P01": "the server is stopping, or somebody has ended the session",
    "57P03": "the server is starting or stopping",
}
"""In our own words, by PostgreSQL's code, what an operator can do something about."""

_NUMBER: Final = re.compile(r"\[Errno (\d+)\]")


@contextmanager
def faults_told(where: str) -> Iterator[None]:
    """Raises our own errors in place of asyncpg's, whose texts may hold values.

    Args:
        where: The database, as it may be shown.

    Raises:
        StoreUnfit: What says how to connect can never work.
        StoreUnavailable: The server is away, slow, or refuses for now.
        StoreRefused: It will never take these values.
    """
    try:
        yield
    except asyncpg.ClientConfigurationError as error:
        raise StoreUnfit(f"records.store: {_without_hint(error)}") from error
    except BROKEN as error:
        raise StoreUnavailable(f"{where}: {_told(error)}") from error
    except _REFUSED as error:
        raise StoreRefused(_told(error)) from error
    except asyncpg.PostgresError as error:
        raise StoreUnavailable(f"{where}: {_told(error)}") from error


def _told(error: Exception) -> str:
    """What is in the way, else the kind of error and PostgreSQL's code of it, such as `UndefinedTableError 42P01`."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError):
        return _of_the_line(error)
    code: str | None = getattr(error, "sqlstate", None)
    kind = f"{type(error).__name__} {code}" if code else type(error).__name__
    meaning = _MEANINGS.get(code or "")
    return f"{meaning} ({kind})" if meaning else kind


def _of_the_line(error: OSError) -> str:
    """In the system's words; of several addresses that one host has each may fail for a reason of its own."""
    if isinstance(error, ssl.SSLError | socket.gaierror):
        return error.strerror or type(error).__name__
    if "rejected SSL" in str(error):
        return "the server takes no TLS"
    numbers = [error.errno] if error.errno else map(int, _NUMBER.findall(str(error)))
    return ", ".join(dict.fromkeys(map(os.strerror, numbers))) or type(error).__name__


def _without_hint(error: Exception) -> str:
    """What asyncpg says of settings, in one line; it names what it has found in them, but never the password."""
    return " ".join(str(error.args[0]).split())
