"""Frozen selections, each in a small file of its own beside the records, so that every worker can open it."""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from hashlib import blake2b
from pathlib import Path
from typing import Final
from uuid import uuid4

import apsw
import msgspec
from msgspec import Struct
from msgspec.structs import replace

from llmproxy_grpc.datasets.options import Format
from llmproxy_grpc.export.picks import NO_CONTENT, Pick
from llmproxy_grpc.export.spec import WITHOUT_CONTENT, Choice, Part
from llmproxy_grpc.records.filters import Window
from llmproxy_grpc.records.plan_files import LIFETIME, SUFFIX, sweep

BLOCK: Final = 8192
"""Rows of a plan that are read at once."""
_SCHEMA: Final = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
CREATE TABLE plan (frozen BLOB NOT NULL);
CREATE TABLE chosen (
    ordinal INTEGER PRIMARY KEY,
    seq INTEGER NOT NULL,
    size INTEGER NOT NULL,
    part INTEGER NOT NULL,
    rejected INTEGER
) STRICT;
"""


class Frozen(Struct, frozen=True):
    """What a plan has frozen, its records apart."""

    choice: Choice
    window: Window
    listed: bool
    """Whether its records are listed; else they are what the filter finds in the window."""
    matched: int = 0
    selected: int = 0
    size: int = 0
    """Bytes of the selected records' content."""
    skipped: Mapping[str, int] = {}
    parts: Mapping[int, int] = {}
    """How many records each part has."""
    digest: bytes = b""
    """Of the selected records in their order: two plans with the same one are the same."""


Chosen = tuple[int, int, int, int, int | None]
"""A row: ordinal from 1, seq, size, part and the rejected record of a pair."""


class Plan:
    """A frozen selection that is open."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        ((encoded,),) = connection.execute("SELECT frozen FROM plan").fetchall()
        assert isinstance(encoded, bytes)  # noqa: S101 - the column's type
        self.frozen: Final = msgspec.msgpack.decode(encoded, type=Frozen)

    def rows(self, after: int, part: Part) -> list[Pick]:
        """The next records behind a place, of one part or of all."""
        sql = (
            "SELECT ordinal, seq, size, part, rejected FROM chosen "
            "WHERE ordinal > ? AND (? = 0 OR part = ?) ORDER BY ordinal LIMIT ?"
        )
        found = self._connection.execute(sql, (after, int(part), int(part), BLOCK))
        return [Pick(ordinal, seq, size, Part(of), rejected) for ordinal, seq, size, of, rejected in found]

    def close(self) -> None:
        """Closes the file."""
        self._connection.close()


class PlanPicks:
    """The records of a plan, in its order.

    Args:
        plan: The plan, with its records listed.
        part: Which of them; ALL for every part, one after the other.
        form: What will be written.
    """

    def __init__(self, plan: Plan, part: Part, form: Format | None) -> None:
        self._plan = plan
        self._part = part
        self._content_alone = form not in WITHOUT_CONTENT

    def block(self, after: int) -> tuple[Sequence[Pick], int, bool]:
        """The next of them."""
        picks = self._plan.rows(after, self._part)
        if self._content_alone:
            picks = [pick if pick.size else replace(pick, fault=NO_CONTENT) for pick in picks]
        return picks, picks[-1].cursor if picks else after, len(picks) < BLOCK


class Plans:
    """The plans of one folder.

    Args:
        folder: Made when the first plan is.
        key: Makes their names, so that nobody can guess one.
    """

    def __init__(self, folder: Path, key: bytes) -> None:
        self._folder = folder
        self._key = key

    def name(self, choice: Choice, window: Window, *, listed: bool) -> str:
        """The plan_id of a selection: the same one for the same tenant, choice and window."""
        asked = msgspec.msgpack.encode((choice, window, listed))
        return blake2b(asked, digest_size=16, key=self._key, person=b"plan").hexdigest()

    def redaction_key(self, plan_id: str) -> bytes:
        """The secret behind the tokens for hidden values: the same one wherever and whenever a plan is written."""
        return blake2b(plan_id.encode(), digest_size=32, key=self._key, person=b"redaction").digest()

    def open(self, plan_id: str, tenant: str) -> Plan | None:
        """A plan of a tenant; None if there is none, or it is another's or too old, or cannot be read any more."""
        path = self._path(plan_id)
        try:
            if path.stat().st_mtime + LIFETIME < time.time():
                return None
            connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        except (OSError, apsw.CantOpenError):
            return None
        try:
            plan = Plan(connection)
        except (apsw.Error, ValueError):  # a power cut has taken it, or another version wrote it
            connection.close()
            return None
        if plan.frozen.window.tenant != tenant:
            plan.close()
            return None
        with suppress(OSError):
            os.utime(path)
        return plan

    @contextmanager
    def writing(self, plan_id: str) -> Iterator["PlanWriter"]:
        """Makes a plan, which is there under its name once the block is left, and not if it raises.

        Nor is it there if records have been erased meanwhile: it may name them.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        sweep(self._folder)
        path = self._path(plan_id)
        unfinished = path.with_name(f"{path.name}.{uuid4().hex}")
        unfinished.touch(mode=0o600)
        connection = apsw.Connection(str(unfinished))
        try:
            try:
                connection.execute(_SCHEMA + "BEGIN").fetchall()
                yield PlanWriter(connection)
                connection.execute("COMMIT")
            finally:
                connection.close()
            with suppress(FileNotFoundError):
                unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)

    def _path(self, plan_id: str) -> Path:
        return self._folder / f"{plan_id}{SUFFIX}"


class PlanWriter:
    """Writes one plan."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self._digest = blake2b(digest_size=16)
        self._parts: dict[int, int] = {}
        self._size = 0

    def add(self, rows: Sequence[Chosen]) -> None:
        """Appends records, in their order."""
        self._connection.executemany("INSERT INTO chosen VALUES (?, ?, ?, ?, ?)", rows)
        self._digest.update(msgspec.msgpack.encode(rows))
        for _, _, size, part, _ in rows:
            self._size += size
            self._parts[part] = self._parts.get(part, 0) + 1

    def finish(self, choice: Choice, window: Window, matched: int, skipped: Mapping[str, int]) -> None:
        """Writes what the plan is about, its records being listed."""
        self.freeze(
            Frozen(
                choice=choice,
                window=window,
                listed=True,
                matched=matched,
                selected=sum(self._parts.values()),
                size=self._size,
                skipped=skipped,
                parts=self._parts,
                digest=self._digest.digest(),
            )
        )

    def freeze(self, frozen: Frozen) -> None:
        """Writes what the plan is about."""
        self._connection.execute("INSERT INTO plan VALUES (?)", (msgspec.msgpack.encode(frozen),))
