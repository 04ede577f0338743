"""Exports that are interrupted within a message: what is left can be gone on with."""

import asyncio
import time

import pytest

from llmproxy_client import aio, export
from llmproxy_client.dataset import Download
from llmproxy_client.dataset.part import PartFile
from llmproxy_client.v1.export_pb2 import ExportRequest

LINES = [b'{"text": "%d"}\n' % number for number in range(11)]
WHOLE = b"".join(LINES)


@pytest.mark.parametrize("step", ["append", "_take_chunk", "complete"])
def test_an_interrupt_within_a_message_leaves_what_can_be_gone_on_with(
    client, script, dataset, folder, monkeypatch, step
):
    """As Ctrl-C does, behind each step of taking a message: the state must not be ahead of its token."""
    script.exported = dataset(*LINES)
    owner = Download if step == "_take_chunk" else PartFile
    really, times = getattr(owner, step), []

    def interrupted(*given, **named):
        really(*given, **named)
        times.append(step)
        if len(times) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(owner, step, interrupted)
        with pytest.raises(KeyboardInterrupt):
            export(client.stub, ExportRequest(), folder)
    manifest = export(client.stub, ExportRequest(), folder)

    assert (folder / "train.jsonl").read_bytes() == WHOLE
    assert manifest["files"][0]["verified"]


async def test_who_cancels_the_asynchronous_export_goes_on_from_a_whole_message(
    target, script, dataset, folder, monkeypatch
):
    script.exported = dataset(*LINES)
    really, begun = PartFile.append, asyncio.Event()
    loop = asyncio.get_running_loop()

    def slow(*given, **named):
        loop.call_soon_threadsafe(begun.set)
        time.sleep(0.2)
        really(*given, **named)

    async with aio.connect(target) as client:
        with monkeypatch.context() as patch:
            patch.setattr(PartFile, "append", slow)
            exporting = asyncio.create_task(aio.export(client.stub, ExportRequest(), folder))
            await begun.wait()
            exporting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await exporting
        await aio.export(client.stub, ExportRequest(), folder)

    assert (folder / "train.jsonl").read_bytes() == WHOLE
    assert script.asked[-1].resume_token == "1"
