"""Takes the messages of an export into a partial folder, and makes it the folder that was asked for at the end."""

import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self

from google.protobuf.message import DecodeError

from llmproxy_client.dataset.card import card, write_dataset_info
from llmproxy_client.dataset.checksum import crc32c
from llmproxy_client.dataset.faults import DamagedExport, DifferentExport, FolderInUse
from llmproxy_client.dataset.lasting import private, private_folder, sync_folder, write_lasting
from llmproxy_client.dataset.manifest import Manifest, manifest_of
from llmproxy_client.dataset.names import CARD, MANIFEST, STATE, file_name, partial_folder
from llmproxy_client.dataset.part import PartFile, PartState
from llmproxy_client.dataset.state import State
from llmproxy_client.errors import BrokenStream
from llmproxy_client.v1.export_pb2 import (
    SPLIT_PART_TRAIN,
    ExportChunk,
    ExportHeader,
    ExportRecords,
    ExportRequest,
    ExportResponse,
    ExportSummary,
)

Convert = Callable[[Path, Manifest], Manifest]
"""Writes further files beside the dataset's."""

SYNC_SECONDS: Final = 1.0
SYNC_BYTES: Final = 16 << 20
"""How much of an export is asked for again after a crash, at most."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an export is; counts are over all tries, -1 is unknown.

    Args:
        records: Records in the files.
        bytes: Bytes in the files.
        selected_records: Records that were selected; some may still be left out.
        estimated_bytes: Bytes that are expected in all.
        searching: Whether the proxy is searching, so that nothing comes.
    """

    records: int
    bytes: int
    selected_records: int = -1
    estimated_bytes: int = -1
    searching: bool = False


class Download:
    """One export to a folder. Use it in `with`: what has come by then is kept, and the next one goes on from there.

    The files grow in `FOLDER.partial`; `finish` renames it.

    Args:
        request: What to export, without a resume token.
        folder: Where the dataset shall be; it must not exist, or be empty.
        restart: Begin anew, whatever an earlier export has left.
        begun_at: When the export begins, in Unix seconds, kept with what is left; see `begun_at`.
        clock: Monotonic seconds.

    Raises:
        FolderInUse: The folder is there or a link, or another process exports to it.
        DifferentExport: An earlier export to the folder had another request.
        DamagedExport: What it left cannot be used.
        ValueError: The request has a resume token, or the folder no name.
    """

    def __init__(
        self,
        request: ExportRequest,
        folder: Path,
        *,
        restart: bool = False,
        begun_at: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if request.resume_token:
            raise ValueError("the request has a resume token; the folder keeps its own")
        self._partial = partial_folder(folder)
        for path in (folder, self._partial):
            if path.is_symlink():
                raise FolderInUse(f"{path} is a link, which would be written through; name a folder itself")
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise FolderInUse(f"{folder} is there already; name another folder, or remove it")
        self._folder = folder
        self._clock = clock
        self._sequence = 0
        self._header_due = True
        self._summary: ExportSummary | None = None
        self._files: dict[str, PartFile] = {}
        self._unsynced = 0
        self._synced_at = clock()
        self._searching = False
        self._synced = False
        """Whether all is on the disk and the files are closed."""
        self._between = True
        """Whether files and token belong together: not while a message is being taken."""
        self._owned = ExitStack()
        try:
            self._lock()
            self._state = self._begun(request, begun_at, restart=restart)
        except BaseException:
            self._owned.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if self._between and not self._synced:
                self._sync()
            if not self._state.resume_token:
                shutil.rmtree(self._partial, ignore_errors=True)  # nothing has come that could be gone on with
        finally:
            self._owned.close()

    @property
    def complete(self) -> bool:
        """Whether the summary has come."""
        return self._summary is not None

    @property
    def resumed(self) -> bool:
        """Whether an earlier call has left something to go on from."""
        return bool(self._state.resume_token)

    def progress(self) -> Progress:
        """How far it is."""
        parts, header = self._state.parts.values(), self._state.header
        return Progress(
            records=sum(part.record_count for part in parts),
            bytes=sum(part.size for part in parts),
            selected_records=-1 if header is None else header.selected_records,
            estimated_bytes=-1 if header is None else header.estimated_bytes,
            searching=self._searching,
        )

    def request(self) -> ExportRequest:
        """What to ask next: everything, or what is missing. The messages of that call are taken from its first on."""
        self._sequence, self._header_due = 0, True
        request = ExportRequest()
        request.CopyFrom(self._state.request)
        request.resume_token = self._state.resume_token
        return request

    def take(self, message: ExportResponse) -> None:
        """Takes one message.

        Raises:
            BrokenStream: A message is missing.
            DamagedExport: Its content is not what the proxy says.
            DifferentExport: After a resume, it belongs to another export.
            OSError: It cannot be written.
        """
        payload = message.WhichOneof("payload")
        if message.sequence != self._sequence:
            raise BrokenStream(f"message {message.sequence} came where {self._sequence} was due")
        if self._header_due != (payload == "header"):
            raise BrokenStream("the export does not begin with a header, or has two")
        self._between = False
        self._sequence += 1
        self._searching = payload == "heartbeat"
        match payload:
            case "header":
                self._take_header(message.header)
            case "chunk":
                self._take_chunk(message.chunk)
            case "records":
                self._take_records(message.records)
            case "file":
                self._file(message.file.part).complete(message.file)
            case "summary":
                self._summary = message.summary
        # Not behind the summary: whoever has to finish once more needs it again.
        if message.resume_token and payload != "summary":
            self._state.resume_token = message.resume_token
        self._between = True
        self._sync_sometimes()

    def finish(self, convert: Convert | None = None) -> Manifest:
        """Writes manifest and card, and renames the folder; returns what the manifest says.

        Args:
            convert: Writes further files into the folder it is given; gives what the manifest shall say of them.

        Raises:
            BrokenStream: The summary has not come: the export is incomplete.
            DamagedExport: The files do not hold what the summary says.
        """
        if self._summary is None or self._state.header is None:
            raise BrokenStream("the export stopped before its summary")
        written = self.progress().records
        if written != self._summary.written_records:
            raise DamagedExport(f"{written} records are in the files, {self._summary.written_records} were sent")
        self._sync()
        self._synced = True
        for file in self._files.values():
            file.close()
        manifest = manifest_of(self._partial, self._state, self._summary)
        if convert is not None:
            manifest |= convert(self._partial, manifest)
        write_lasting(self._partial / MANIFEST, f"{json.dumps(manifest, indent=2, ensure_ascii=False)}\n")
        write_lasting(self._partial / CARD, card(manifest))
        write_dataset_info(self._partial, manifest)
        if self._folder.exists():
            self._folder.rmdir()  # it was empty when we began; if it is not any more, this says so
        sync_folder(self._partial)
        self._partial.rename(self._folder)
        sync_folder(self._folder.parent)
        (self._folder / STATE).unlink(missing_ok=True)
        return manifest

    def _lock(self) -> None:
        self._partial.parent.mkdir(parents=True, exist_ok=True)
        # Beside the folder rather than in it: it must outlast the rename, or the next one could not see it.
        path = self._partial.with_name(f".{self._partial.name}.lock")
        while True:
            lock = self._owned.enter_context(open(path, "wb", opener=private))  # noqa: SIM115 - `_owned` closes it
            if not _locked(lock):
                raise FolderInUse(f"another process exports to {self._folder}")
            if _is_at(lock, path):
                break  # if it is not, another process removed it as it ended, and the next one makes its own
        self._owned.callback(path.unlink, missing_ok=True)

    def _begun(self, request: ExportRequest, begun_at: float, *, restart: bool) -> State:
        """What an earlier export has left, or a new beginning."""
        if restart and self._partial.exists():
            shutil.rmtree(self._partial)
        private_folder(self._partial)
        found = State.read(self._partial)
        if found is None or not found.resume_token:
            return State(request, begun_at=begun_at)
        if found.request != request:
            raise DifferentExport(
                f"{self._partial} was begun with other filters or options; repeat those, or begin anew"
            )
        return found

    def _take_header(self, header: ExportHeader) -> None:
        self._header_due = False
        known = self._state.header
        if known is None:
            self._state.header = ExportHeader()
            self._state.header.CopyFrom(header)
        elif (known.plan_id, known.as_of_seq, known.as_of_feedback_seq) != (
            header.plan_id,
            header.as_of_seq,
            header.as_of_feedback_seq,
        ):
            raise DifferentExport("the proxy goes on with another export than the one that was begun; begin anew")

    def _take_chunk(self, chunk: ExportChunk) -> None:
        if crc32c is not None and crc32c(chunk.data) != chunk.crc32c:
            raise DamagedExport("a chunk's checksum is wrong")
        self._file(chunk.part).append(chunk.data, records=chunk.record_count, index=chunk.file_index)
        self._unsynced += len(chunk.data)

    def _take_records(self, records: ExportRecords) -> None:
        """Writes typed records, each behind its length as a varint, as protobuf's delimited streams are.

        They do not tell their part: it is the one that was asked for. Maps are put in order, so that the same records
        are the same bytes.
        """
        file = self._file(self._state.request.output.part or SPLIT_PART_TRAIN)
        try:
            data = b"".join(delimited(record.SerializeToString(deterministic=True)) for record in records.records)
        except DecodeError as error:
            raise DamagedExport("a record cannot be read") from error
        file.append(data, records=len(records.records), index=0)
        self._unsynced += len(data)

    def _file(self, part: Any) -> PartFile:
        output = self._state.request.output
        name = file_name(part, output)
        if name not in self._files:
            state = self._state.parts.setdefault(name, PartState(name, part))
            self._files[name] = self._owned.enter_context(PartFile(self._partial, state, output.compression))
        return self._files[name]

    def _sync_sometimes(self) -> None:
        if self._unsynced >= SYNC_BYTES or self._clock() - self._synced_at >= SYNC_SECONDS:
            self._sync()

    def _sync(self) -> None:
        """First the data, then the token that goes on behind it."""
        if not self._state.resume_token:
            return
        for file in self._files.values():
            file.sync()
        self._state.write(self._partial)
        self._unsynced, self._synced_at = 0, self._clock()


def begun_at(folder: Path) -> float | None:
    """When the export began that a folder waits for, as it was told; None if none was cut off.

    A request that says "seven days ago" is made from that time again, so that it is the same request.

    Raises:
        DamagedExport: What it left cannot be read.
    """
    state = State.read(partial_folder(folder))
    return state.begun_at if state is not None and state.resume_token else None


def _locked(file: IO[Any]) -> bool:
    """Locks a file for this process as long as it is open; on Windows, which has no such locks, always."""
    if sys.platform != "win32":
        import fcntl  # noqa: PLC0415 - not there on Windows

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
    return True


def _is_at(file: IO[Any], path: Path) -> bool:
    """Whether an open file is the one at a path."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def delimited(data: bytes) -> bytes:
    """A message behind its length."""
    length, prefix = len(data), bytearray()
    while length > 0x7F:
        prefix.append(length & 0x7F | 0x80)
        length >>= 7
    prefix.append(length)
    return bytes(prefix) + data
