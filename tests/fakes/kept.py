"""What a folder of records holds, for tests that look behind a server."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from llmproxy_grpc._gen.v1 import chat_pb2
from llmproxy_grpc.records.places import Places
from llmproxy_grpc.records.record import Body, Feedback, Record
from llmproxy_grpc.records.sqlite.store import SqliteStore
from llmproxy_grpc.records.store import Page, Statistics, StoreUnavailable
from tests.fakes.polling import until
from tests.fakes.records import rows_of


class Kept:
    """Looks into a folder of records from outside, as often as it is asked."""

    def __init__(self, folder: Path) -> None:
        self.places = Places(folder)

    def records(self, tenant: str = "default") -> list[Record]:
        return self._read(lambda reader: rows_of(reader, Page(tenant=tenant, as_of_seq=10**12, limit=10**6)))

    def body(self, record: Record) -> Body | None:
        return self._read(lambda reader: reader.bodies(record.tenant, [record.seq]).get(record.seq))

    def request(self, record: Record) -> chat_pb2.ChatRequest:
        body = self.body(record)
        assert body is not None
        return chat_pb2.ChatRequest.FromString(body.request)

    def response(self, record: Record) -> chat_pb2.ChatResponse:
        body = self.body(record)
        assert body is not None
        return chat_pb2.ChatResponse.FromString(body.response)

    def feedback(self, record_id: bytes, tenant: str = "default") -> list[Feedback]:
        return self._read(lambda reader: reader.feedback(tenant, [record_id], 10**12).get(record_id, []))

    def statistics(self) -> Statistics:
        return self._read(lambda reader: reader.statistics())

    async def wait(self, count: int, *, within: float = 10.0) -> list[Record]:
        """The records, once there are so many."""
        await until(lambda: self.soon(lambda kept: len(kept.records()) >= count), within=within)
        return self.records()

    def soon(self, look: "Callable[[Kept], Any]") -> Any:
        """What a look gives; None as long as the store is not there, or is just being made by another."""
        if not self.places.store.exists():
            return None
        try:
            return look(self)
        except StoreUnavailable:
            return None

    def _read(self, look):
        reader = SqliteStore(self.places.store).reader()
        try:
            return look(reader)
        finally:
            reader.close()
