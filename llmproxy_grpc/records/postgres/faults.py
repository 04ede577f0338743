"""What the errors of PostgreSQL and of the way to it mean: try again later, or never."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import asyncpg

from llmproxy_grpc.records.store import StoreRefused, StoreUnavailable

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


@contextmanager
def faults_told() -> Iterator[None]:
    """Raises StoreUnavailable or StoreRefused in place of asyncpg's errors, whose texts may hold values."""
    try:
        yield
    except BROKEN as error:
        raise StoreUnavailable(_told(error)) from error
    except _REFUSED as error:
        raise StoreRefused(_told(error)) from error
    except asyncpg.PostgresError as error:
        raise StoreUnavailable(_told(error)) from error


def _told(error: Exception) -> str:
    """The kind of error and PostgreSQL's code of it, such as `UndefinedTableError 42P01`."""
    code = getattr(error, "sqlstate", None)
    return f"{type(error).__name__} {code}" if code else type(error).__name__
