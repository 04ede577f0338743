"""Export: streams recorded calls as a dataset."""

import asyncio
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from msgspec import Struct

from llmproxy_grpc._gen.v1 import export_pb2 as pb
from llmproxy_grpc.calls import Scope
from llmproxy_grpc.errors import PermissionDenied, ProxyOverloaded
from llmproxy_grpc.export.export import Export
from llmproxy_grpc.export.job import Job
from llmproxy_grpc.export.opening import open_export
from llmproxy_grpc.export.output import Piece
from llmproxy_grpc.export.plans import Plans
from llmproxy_grpc.export.thread import ExportThread, Open
from llmproxy_grpc.export.tokens import Position, Seal
from llmproxy_grpc.records.end_users import Forms, as_it_is, read_key
from llmproxy_grpc.records.store import LEASE, RecordReader, RecordStore, StoreUnavailable
from llmproxy_grpc.server.export_messages import header_message, piece_message, summary_message
from llmproxy_grpc.server.export_request import digest, to_job
from llmproxy_grpc.server.export_writer import ExportWriter
from llmproxy_grpc.server.request import invalid, warn_of_unknown_fields
from llmproxy_grpc.server.rpc import Rpc
from llmproxy_grpc.server.validation import validate_export

MOST_AT_ONCE: Final = 2
"""Exports that one process serves at a time: each costs a thread, and chats are to feel little of it."""
RETRY_AFTER: Final = 5.0
"""Seconds that a refused caller is asked to wait."""
AWAY: Final = "The records cannot be read now."


class Vault(Struct, frozen=True):
    """What exports read from.

    Attributes:
        store: Opens the records.
        plans: Folder of the plans.
        key: File of the secret that seals tokens and names plans, unless other hosts share the store and were there
            before; made when it is missing.
        end_user: The forms in which an end user's id may be kept.
    """

    store: Callable[[], RecordStore]
    plans: Path
    key: Path
    end_user: Forms = as_it_is


class ExportServicer:
    """Serves Export.

    Args:
        vault: Where the records are.
        write_timeout: Longest wait, in seconds, for a caller that does not read.
        sent: Told how many bytes of data left.
        now: Unix seconds.
    """

    def __init__(
        self,
        vault: Vault,
        *,
        write_timeout: Callable[[], float],
        sent: Callable[[int], None],
        now: Callable[[], float] = time.time,
    ) -> None:
        self._vault = vault
        self._write_timeout = write_timeout
        self._sent = sent
        self._now = now
        self.running = 0
        """Exports in flight."""

    async def export(self, request: pb.ExportRequest, rpc: Rpc) -> None:
        """Answers one request."""
        call = rpc.call
        if Scope.EXPORT not in call.caller.scopes:
            raise PermissionDenied("The caller may not export.")
        wrong = validate_export(request)
        if wrong:
            raise invalid(wrong)
        warn_of_unknown_fields(request, call)
        with self._slot() as slot:
            await self._answer(request, rpc, slot)

    async def _answer(self, request: pb.ExportRequest, rpc: Rpc, slot: ExitStack) -> None:
        job = to_job(request, rpc.call.caller.tenant, self._vault.end_user)
        key = await self._key()
        seal = Seal(key, job.tenant, digest(request))
        resumed = seal.read(request.resume_token, self._now()) if request.resume_token else None
        thread = ExportThread(self._vault.store, self._opener(job, key, resumed))

        async def release() -> None:
            try:
                await thread.aclose()
            finally:
                slot.close()  # also when the caller leaves while that is waited for

        writer = ExportWriter(
            rpc,
            seal,
            write_timeout=self._write_timeout(),
            most_bytes_per_second=request.max_bytes_per_second,
            release=release,
            sent=self._sent,
        )
        try:
            await self._stream(thread, writer)
        except StoreUnavailable:
            raise ProxyOverloaded(AWAY, retry_after=RETRY_AFTER) from None
        finally:
            await release()

    async def _stream(self, thread: ExportThread, writer: ExportWriter) -> None:
        """Writes one page while the thread makes the next one: no more than that is ever held."""
        header, position = await thread.open()
        await writer.send(header_message(header), position)
        sent, step, over = position.progress, thread.step(), False
        while not over:
            pieces, over = await writer.patiently(step)
            if not over:
                step = thread.step()
            for piece in pieces:
                await writer.turn()  # before it is looked for, as that may take minutes
                if not await _may_leave(thread, piece):
                    await thread.rewind(sent)
                    step, over = thread.step(), False
                    break
                await writer.send(piece_message(piece), thread.at(piece))
                sent = piece.progress
        summary, position = await thread.summary()
        await writer.send(summary_message(summary), position)

    def _slot(self) -> ExitStack:
        """A place among those that run; to be closed."""
        if self.running >= MOST_AT_ONCE:
            raise ProxyOverloaded(
                f"The proxy has its limit of {MOST_AT_ONCE} exports in flight.",
                retry_after=RETRY_AFTER,
                metadata={"limit": str(MOST_AT_ONCE), "method": "Export"},
            )
        self.running += 1
        slot = ExitStack()
        slot.callback(self._leave)
        return slot

    def _leave(self) -> None:
        self.running -= 1

    async def _key(self) -> bytes:
        vault = self._vault
        try:
            return await asyncio.to_thread(lambda: vault.store().shared_key(read_key(vault.key)))
        except (OSError, StoreUnavailable):
            raise ProxyOverloaded(AWAY, retry_after=RETRY_AFTER) from None

    def _opener(self, job: Job, key: bytes, resumed: Position | None) -> Open:
        plans = Plans(self._vault.plans, key)

        def opened(reader: RecordReader, check: Callable[[], None]) -> Export:
            return open_export(job, reader, plans, resumed=resumed, now=self._now(), check=check)

        return opened


async def _may_leave(thread: ExportThread, piece: Piece) -> bool:
    """Whether all records of a message are still there: what is known of that is good for a lease, no longer."""
    known_at = piece.read_at
    while time.monotonic() - known_at > LEASE:
        known_at = time.monotonic()
        if not await thread.intact(piece):
            return False
    return True
