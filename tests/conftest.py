"""What holds for every suite: generated examples have no deadline of their own, and one database server serves all.

A machine that runs the suites beside other work is slow for moments; a test that hangs is ended by its time limit.
"""

from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.fakes.postgres import PostgresServer

settings.register_profile("suite", deadline=None)
settings.load_profile("suite")


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A server that every test of a process shares; each has a schema of its own. Leave it as it was."""
    with PostgresServer() as server:
        yield server
