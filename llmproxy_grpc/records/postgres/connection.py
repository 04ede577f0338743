"""A connection to the database that blocks: asyncpg on an event loop of its own, dialled again when it broke."""

import asyncio
import re
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import suppress
from typing import Any, Final, TypeVar

import asyncpg

from llmproxy_grpc.records.postgres.address import FORM, fault_of, shown
from llmproxy_grpc.records.postgres.faults import BROKEN, faults_told
from llmproxy_grpc.records.store import Row, StoreUnfit

CONNECT_TIMEOUT: Final = 5.0
COMMAND_TIMEOUT: Final = 60.0
"""Longest wait for a statement, in seconds: a server that has stopped must not hold a thread for ever."""
LOCK_TIMEOUT: Final = "10s"
SILENCE: Final = "30s"
"""Longest time for which a host may say nothing in the middle of a transaction: all the others wait for its locks."""
LIFE_SIGNS: Final = {"tcp_keepalives_idle": "10", "tcp_keepalives_interval": "5", "tcp_keepalives_count": "4"}
"""When the server asks whether a silent host is still there: a host that is cut off tells it nothing, for hours by
default, and may have been in the middle of a statement."""
EVERYBODY: Final = "*"
"""Stands for all tenants where the rules of the rows look for one: of the writer and of the operator's figures."""

_Result = TypeVar("_Result")
_MARK: Final = re.compile(r"\?")
_UNREADABLE: Final = f"records.store: cannot be read together with the PG… variables of the environment; it is {FORM}"


class Connection:
    """One session; used by one thread at a time.

    Args:
        address: `postgresql://…`, as libpq takes it; what it leaves open comes from the environment (PGPASSWORD, …).
        schema: The schema of the tables, a plain name.
        read_only: Whether the server shall refuse to write.
        prepare: Statements that every new session begins with.
    """

    def __init__(self, address: str, schema: str, *, read_only: bool = False, prepare: Sequence[str] = ()) -> None:
        self._address = address
        self._where = shown(address)
        self._settings = {
            "application_name": "llmproxy",
            "search_path": schema,
            "lock_timeout": LOCK_TIMEOUT,
            "idle_in_transaction_session_timeout": SILENCE,
            **LIFE_SIGNS,
            "default_transaction_read_only": "on" if read_only else "off",
        }
        self._prepare = prepare
        self._loop = asyncio.new_event_loop()
        self._session: asyncpg.Connection | None = None
        self._tenant: str | None = None

    def query(self, sql: str, values: Sequence[object] = (), *, tenant: str = EVERYBODY) -> list[Row]:
        """Runs a statement with a `?` for each value, and gives its rows."""

        async def run(session: asyncpg.Connection) -> list[Row]:
            return [tuple(row) for row in await session.fetch(numbered(sql), *map(fit, values))]

        return self.run(run, tenant=tenant)

    def run(
        self, work: Callable[[asyncpg.Connection], Coroutine[Any, Any, _Result]], *, tenant: str = EVERYBODY
    ) -> _Result:
        """Runs work on the session, which sees the rows of one tenant, or of all.

        Raises:
            StoreUnavailable: The server is away, slow, or refuses for now; the next call dials again.
            StoreRefused: It will never take these values.
            StoreUnfit: The address cannot be read, or what says how to connect can never work.
        """
        with faults_told(self._where):
            try:
                return self._loop.run_until_complete(self._work(work, tenant))
            except BROKEN:
                self._drop()
                raise

    def interrupt(self) -> None:
        """Breaks the session off, and with it the statement that runs; may be called by another thread."""
        with suppress(RuntimeError):  # it is closed already
            self._loop.call_soon_threadsafe(self._terminate)

    def close(self) -> None:
        """Ends the session."""
        if self._loop.is_closed():
            return
        self._drop()
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    async def _work(self, work: Callable[[asyncpg.Connection], Coroutine[Any, Any, _Result]], tenant: str) -> _Result:
        session = self._session
        if session is None or session.is_closed():
            session = await self._dial()
        if tenant != self._tenant:
            await session.execute("SELECT set_config('llmproxy.tenant', $1, false)", fit(tenant))
            self._tenant = tenant
        return await work(session)

    async def _dial(self) -> asyncpg.Connection:
        self._tenant = None
        if (fault := fault_of(self._address)) is not None:
            raise StoreUnfit(f"records.store: {fault}")
        try:
            session: asyncpg.Connection = await asyncpg.connect(
                self._address,
                timeout=CONNECT_TIMEOUT,
                command_timeout=COMMAND_TIMEOUT,
                server_settings=self._settings,
            )
        except BROKEN:  # some of these are ValueErrors too
            raise
        except ValueError as error:
            raise StoreUnfit(_UNREADABLE) from error
        self._session = session  # from now on it can be broken off
        try:
            for statement in self._prepare:
                await session.execute(statement)
        except BaseException:
            await self._end()
            raise
        return session

    def _terminate(self) -> None:
        """Breaks the session off while the loop runs: whoever waits for it drops it."""
        if self._session is not None:
            self._session.terminate()

    def _drop(self) -> None:
        self._loop.run_until_complete(self._end())

    async def _end(self) -> None:
        """Ends the session, and what belongs to it: its socket, and what it asks a server to cancel that is silent."""
        session, self._session = self._session, None
        if session is None:
            return
        session.terminate()
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)
        await asyncio.sleep(0)


def numbered(sql: str) -> str:
    """The statement with `$1`, `$2`, … in place of question marks; none of ours has one in a text."""
    places = iter(range(1, sql.count("?") + 1))
    return _MARK.sub(lambda _: f"${next(places)}", sql)


def fit(value: object) -> object:
    """The value as PostgreSQL takes it: its texts cannot hold NUL, whose picture stands in for it."""
    return value.replace("\x00", "\u2400") if isinstance(value, str) else value


def fit_row(values: Iterable[object]) -> Row:
    """A row of such values."""
    return tuple(map(fit, values))
