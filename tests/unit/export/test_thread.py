"""The thread of an export: a step whose result nobody wants any more fails in silence."""

import asyncio
import gc

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
