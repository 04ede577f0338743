"""What APSW's errors mean: try again later, or never."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import apsw

from llmproxy_grpc.records.places import FULL
from llmproxy_grpc.records.store import StoreFull, StoreRefused, StoreUnavailable

PASSING: Final = (
    apsw.BusyError,
    apsw.LockedError,
    apsw.IOError,
    apsw.CantOpenError,
    apsw.ReadOnlyError,
    apsw.NoMemError,
    apsw.InterruptError,
    apsw.ProtocolError,
    apsw.PermissionsError,
    apsw.CorruptError,
    apsw.NotADBError,
    OSError,
    MemoryError,
)
"""Errors that are of the place and the moment, not of the rows. A corrupt file is among them: the rows are fine, and
wait in the spool until somebody has put a backup back."""


@contextmanager
def faults_told() -> Iterator[None]:
    """Raises StoreUnavailable or StoreRefused in place of APSW's errors."""
    try:
        yield
    except apsw.FullError as error:
        raise StoreFull(_told(error)) from error
    except PASSING as error:
        if isinstance(error, OSError) and error.errno in FULL:
            raise StoreFull(_told(error)) from error
        raise StoreUnavailable(_told(error)) from error
    except (apsw.Error, TypeError, ValueError, OverflowError) as error:
        raise StoreRefused(_told(error)) from error


def _told(error: Exception) -> str:
    """The kind of error and SQLite's own words, which name tables and columns but no values; of others the kind."""
    kind = type(error).__name__
    return f"{kind}: {error}" if isinstance(error, apsw.Error) else kind
