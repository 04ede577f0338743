"""The thread of an export: a step whose result nobody wants any more fails in silence."""

import asyncio
import gc
import threading

import pytest

from llmproxy_grpc.export.progress import Progress
from llmproxy_grpc.export.thread import ExportThread
from llmproxy_grpc.records.store import StoreUnavailable


class FailingExport:
    """An export whose steps fail."""

    header = position = None

    def step(self):
        raise StoreUnavailable("away")

    def rewind(self, progress):
        pass

    def intact(self, piece):
        return True

    def close(self):
        pass


class EmptyStore:
    def reader(self):
        return self

    def close(self):
        pass


@pytest.fixture
async def unheard():
    """Errors that nobody has looked at."""
    told = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: told.append(context))
    return told


@pytest.mark.parametrize("behind", ["rewind", "intact", "aclose"])
async def test_a_step_in_vain_leaves_no_error_behind(unheard, behind):
    thread = ExportThread(EmptyStore, lambda _reader, _check: FailingExport())
    await thread.open()
    step = thread.step()
    if behind == "rewind":
        await thread.rewind(Progress())
    elif behind == "intact":
        await thread.intact(None)
    await thread.aclose()
    del step
    gc.collect()
    assert unheard == []


async def test_whoever_waits_for_a_step_is_told_its_error():
    thread = ExportThread(EmptyStore, lambda _reader, _check: FailingExport())
    await thread.open()
    with pytest.raises(StoreUnavailable):
        await thread.step()
    await thread.aclose()


class LongStatement(FailingExport):
    """An export whose step waits for the database, and the connection that can end that."""

    def __init__(self):
        self.began, self.over = threading.Event(), threading.Event()
        self.interrupts = 0

    def reader(self):
        return self

    def step(self):
        self.began.set()
        assert self.over.wait(10)
        raise StoreUnavailable("interrupted")

    def interrupt(self):
        self.interrupts += 1
        self.over.set()


@pytest.mark.parametrize("busy", [True, False])
async def test_a_statement_that_runs_is_ended_when_the_caller_leaves(busy):
    export = LongStatement()
    thread = ExportThread(lambda: export, lambda _reader, _check: export)
    await thread.open()
    if busy:
        thread.step()
        await asyncio.to_thread(export.began.wait)
    async with asyncio.timeout(5):
        await thread.aclose()
    assert export.interrupts == busy
