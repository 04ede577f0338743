"""An ingester over a spool whose files a test writes by hand."""

from collections.abc import Callable, Sequence
from pathlib import Path
from uuid import UUID

from llmproxy_grpc.records.ingester import Ingester
from llmproxy_grpc.records.lines import openai_chat_line
from llmproxy_grpc.records.quarantine import Quarantine
from llmproxy_grpc.records.record import Record
from llmproxy_grpc.records.spool.entries import Said, encode
from llmproxy_grpc.records.spool.frames import frame
from llmproxy_grpc.records.spool.segments import segments
from llmproxy_grpc.records.store import Page, RecordStore
from llmproxy_grpc.records.tally import Loss, Tally
from tests.fakes.records import rows_of

NOW = 5_000_000


class Bench:
    """A spool whose files a test writes by hand, and an ingester over a store."""

    def __init__(self, folder: Path, open_store: Callable[[], RecordStore]) -> None:
        self.folder = folder / "spool"
        self.folder.mkdir()
        self.store = open_store()
        self.quarantined = folder / "quarantine"
        self.tally = Tally()
        self.writer = self.store.writer()
        self.ingester = self.begin()

    def begin(self) -> Ingester:
        """A new ingester, as after a restart."""
        return Ingester(
            self.folder,
            self.writer,
            self.tally,
            quarantine=Quarantine(self.quarantined),
            render=openai_chat_line,
            clock_us=lambda: NOW,
        )

    def segment(self, data: bytes, number: int = 1, worker: str = "000-a") -> Path:
        path = self.folder / f"{worker}-{number:08d}.spool"
        path.write_bytes(data)
        return path

    def drain(self) -> None:
        for _ in range(100):
            if not self.ingester.move() and not segments(self.folder):
                return
        raise AssertionError("it never ends")

    def records(self) -> Sequence[Record]:
        reader = self.store.reader()
        try:
            return rows_of(reader, Page(tenant="default", as_of_seq=10**9, limit=10**6))
        finally:
            reader.close()

    def ids(self) -> list[str]:
        return [str(UUID(bytes=record.id)) for record in self.records()]

    def dropped(self) -> dict[Loss, int]:
        return dict(self.tally.dropped)


def frames(*said: Said) -> bytes:
    """The bytes of a segment that says so."""
    return b"".join(frame(encode(each)) for each in said)
