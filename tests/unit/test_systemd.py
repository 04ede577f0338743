import asyncio
import os
import socket
import time
from contextlib import suppress

import pytest

from llmproxy_grpc.systemd import Notifier


@pytest.fixture
def manager(tmp_path):
    """The service manager's socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.setblocking(False)
        yield listening


def told(manager: socket.socket) -> list[str]:
    texts = []
    with suppress(BlockingIOError):
        while True:
            texts.append(manager.recv(4096).decode())
    return texts


def test_it_tells_each_turn_of_a_life(manager):
    notifier = Notifier({"NOTIFY_SOCKET": manager.getsockname()})
    notifier.ready()
    with notifier.reloading():
        pass
    notifier.stopping()
    first, reloading, ready, stopping = told(manager)
    assert (first, ready, stopping) == ("READY=1", "READY=1", "STOPPING=1")
    state, _, since = reloading.partition("\nMONOTONIC_USEC=")
    assert state == "RELOADING=1"
    assert 0 <= time.monotonic() - int(since) / 1e6 < 10


def test_a_reload_that_fails_ends_as_well(manager):
    notifier = Notifier({"NOTIFY_SOCKET": manager.getsockname()})
    with suppress(ValueError), notifier.reloading():
        raise ValueError
    assert told(manager)[-1] == "READY=1"


def test_an_address_may_be_a_name_that_only_the_kernel_knows():
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as abstract:
        name = f"llmproxy-test-{os.getpid()}"
        abstract.bind(f"\0{name}")
        abstract.setblocking(False)
        Notifier({"NOTIFY_SOCKET": f"@{name}"}).ready()
        assert told(abstract) == ["READY=1"]


@pytest.mark.parametrize("environ", [{}, {"NOTIFY_SOCKET": "/no/such/socket", "WATCHDOG_USEC": "none"}])
async def test_without_somebody_who_listens_nothing_happens(environ):
    notifier = Notifier(environ)
    notifier.ready()
    notifier.stopping()
    await asyncio.wait_for(notifier.watch(), 1)


async def test_it_gives_signs_of_life_twice_as_often_as_wanted(manager):
    notifier = Notifier({"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "20000"})
    watching = asyncio.create_task(notifier.watch())
    await asyncio.sleep(0.2)
    watching.cancel()
    signs = told(manager)
    assert set(signs) == {"WATCHDOG=1"}
    assert 2 <= len(signs) <= 21


async def test_a_watchdog_for_another_process_is_not_ours(manager):
    environ = {"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "20000", "WATCHDOG_PID": "1"}
    await asyncio.wait_for(Notifier(environ).watch(), 1)
    assert told(manager) == []
