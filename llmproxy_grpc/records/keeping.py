"""Everything that keeps records in one process: the spool of its worker, and the thread that ingests if elected."""

import asyncio
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Self

from msgspec import Struct

from llmproxy_grpc.config.durations import spell_duration
from llmproxy_grpc.config.operations import RecordsConfig
from llmproxy_grpc.records.codec import RenderLine, bare
from llmproxy_grpc.records.end_users import end_users
from llmproxy_grpc.records.ingesting import Ingesting, Manners
from llmproxy_grpc.records.places import Places
from llmproxy_grpc.records.recorder import Recorder
from llmproxy_grpc.records.spool.room import spool_bytes
from llmproxy_grpc.records.spool.writer import SpoolWriter
from llmproxy_grpc.records.store import StoreUnavailable
from llmproxy_grpc.records.stores import SQLITE, described, opener
from llmproxy_grpc.records.tally import Tally

FAIR: Final = 0.0005
"""Seconds after which a thread that works lets another one go on, a tenth of Python's own: the event loop waits so long
for the one that ingests, again and again."""


class Terms(Struct, frozen=True, kw_only=True):
    """What is kept, where and how.

    Attributes:
        folder: Where everything lies, but for the store if that is a database server.
        store: `sqlite`, or the address of a PostgreSQL database.
        worker: Number of this worker.
        content: Whether prompts and answers are kept.
        hash_end_users: Whether the ids of end users are hashed.
        durability: `spool`, `durable` or `async`.
        retention: Seconds that records are kept.
    """

    folder: Path
    store: str = SQLITE
    worker: int = 0
    content: bool = True
    hash_end_users: bool = False
    durability: str = "spool"
    retention: float = 2_592_000.0


def terms_of(config: RecordsConfig, worker: int = 0) -> Terms:
    """The terms that a configuration states."""
    return Terms(
        folder=Path(config.directory),
        store=config.store,
        worker=worker,
        content=config.content == "full",
        hash_end_users=config.end_user == "hash",
        durability=config.durability,
        retention=config.retention,
    )


class Keeping:
    """Keeps records: open it, hand its recorder to those who serve calls, close it behind them.

    Args:
        terms: What, where and how.
        render: Makes lines of OPENAI_CHAT.

    Raises:
        StoreUnfit: When it is opened: the database library has a known flaw, or the store is a newer version's.
        OSError: The key of the end users can neither be read nor be made.
    """

    def __init__(self, terms: Terms, render: RenderLine | None = None) -> None:
        self.terms = terms
        self.places = Places(terms.folder)
        self.tally = Tally()
        self.open_store = opener(terms.store, self.places)
        self.end_users = end_users(self.places.end_user_key, hashes=terms.hash_end_users)
        self._spool = SpoolWriter(
            self.places.spool,
            terms.worker,
            self.tally,
            durable=terms.durability == "durable",
            bare=bare,
            tell=self._tell,
        )
        self.recorder = Recorder(self._spool, self.tally, terms.durability)
        manners = Manners(retention=terms.retention, render=render)
        self._ingesting = Ingesting(self.places, self.open_store, self.tally, manners)

    async def __aenter__(self) -> Self:
        # A store that is not there now may come; one that is unfit never will, and is told before anybody relies on it.
        with suppress(StoreUnavailable):
            await asyncio.to_thread(self.open_store)
        self._switch_interval = sys.getswitchinterval()
        sys.setswitchinterval(FAIR)
        self._spool.start()
        self._ingesting.start()
        return self

    async def __aexit__(self, *_exception: object) -> None:
        self.recorder.close()
        await asyncio.to_thread(self._spool.close)
        await asyncio.to_thread(self._ingesting.close)
        sys.setswitchinterval(self._switch_interval)

    def __str__(self) -> str:
        """What is kept and where, for people."""
        what = "prompts and answers" if self.terms.content else "metadata alone"
        return f"{what} for {spell_duration(self.terms.retention)} in {described(self.terms.store, self.places)}"

    @property
    def sound(self) -> bool:
        """Whether records are kept as they should be: the spool takes them, and the store."""
        return self._ingesting.available and self._spool.sound

    def spooled_bytes(self) -> int:
        """How large the spool is now, over all workers. Raises OSError where it cannot be looked at."""
        return spool_bytes(self.places.spool)

    def _tell(self, waiters: Sequence[Any], written: bool) -> None:  # noqa: FBT001 - as the spool calls it
        self.recorder.settle(waiters, written)
