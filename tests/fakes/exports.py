"""Recorded conversations to export, and a server that exports them."""

import hashlib
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from llmproxy_grpc._gen.v1 import chat_pb2, content_pb2, export_pb2
from llmproxy_grpc._gen.v1.llm_proxy_service_pb2_grpc import LlmProxyServiceStub
from llmproxy_grpc.calls import Caller
from llmproxy_grpc.records.record import Body, Entry
from llmproxy_grpc.records.store import RecordStore
from llmproxy_grpc.server.export import ExportServicer, Vault
from llmproxy_grpc.server.interceptors.errors import errors
from llmproxy_grpc.server.interceptors.request_id import request_id
from llmproxy_grpc.server.rpc import Door, Proceed, Rpc
from llmproxy_grpc.server.service import proxy_service
from tests.fakes.records import a_record

ROLES = {"system": 1, "developer": 2, "user": 3, "assistant": 4, "tool": 5}
SPLIT = export_pb2.Split(validation_fraction=0.25, test_fraction=0.25)


def message(role: str, text: str) -> content_pb2.Message:
    return content_pb2.Message(role=ROLES[role], parts=[content_pb2.ContentPart(text=text)])


def a_chat(*turns: str, labels: dict[str, str] | None = None, keep: bool = True, **different: Any) -> Entry:
    """A recorded conversation: user and assistant by turns, the last turn the answer; as the ingester stores it.

    Args:
        turns: What was said.
        labels: Of the call.
        keep: Whether the content is kept.
        different: Fields of the record.
    """
    turns = turns or ("Hello", "World")
    speakers = ["user" if index % 2 == 0 else "assistant" for index in range(len(turns))]
    said = [message(role, text) for role, text in zip(speakers, turns, strict=True)]
    request = chat_pb2.ChatRequest(model="assistant", messages=said[:-1], labels=labels or {})
    response = chat_pb2.ChatResponse(candidates=[chat_pb2.Candidate(message=said[-1], finish_reason=1)])
    line = json.dumps(
        {"messages": [{"role": role, "content": text} for role, text in zip(speakers, turns, strict=True)]},
        separators=(",", ":"),
        ensure_ascii=False,
    )
    chain = hashes(turns)
    body = Body(request.SerializeToString(), response.SerializeToString(), line.encode() + b"\n")
    folded = repr([" ".join(turn.split()).lower() for turn in turns])
    kept = {
        "messages": len(turns),
        "content_bytes": len(body.request) + len(body.response),
        "dkey": hashlib.blake2b(folded.encode(), digest_size=16).digest(),
        "input_hash": chain[-2] if len(chain) > 1 else b"\0" * 16,
        "full_hash": chain[-1],
        "ancestors": b"".join(chain[index] for index in range(1, len(chain) - 1, 2)),
    }
    figures = kept if keep else {"messages": 0}
    return Entry(a_record(labels=labels, **{**figures, **different}), body if keep else None)


def an_exchange(*messages: content_pb2.Message) -> Entry:
    """A recorded conversation of these messages, the last of them the answer; its lines are made when it leaves."""
    *asked, answer = messages
    request = chat_pb2.ChatRequest(model="assistant", messages=asked)
    response = chat_pb2.ChatResponse(candidates=[chat_pb2.Candidate(message=answer, finish_reason=1)])
    body = Body(request.SerializeToString(), response.SerializeToString())
    size = len(body.request) + len(body.response)
    hash_of_prompt = hashlib.blake2b(body.request, digest_size=16).digest()
    return Entry(a_record(messages=len(messages), content_bytes=size, input_hash=hash_of_prompt), body)


def hashes(turns: Iterable[str]) -> list[bytes]:
    """The chain's hash behind each turn."""
    chain, found = b"", []
    for turn in turns:
        chain = hashlib.blake2b(chain + turn.encode(), digest_size=16).digest()
        found.append(chain)
    return found


class Exporting:
    """A server that exports one store, and a stub of it."""

    def __init__(self, stub: Any, servicer: ExportServicer, folder: Path, port: int) -> None:
        self.stub = stub
        self.port = port
        self.servicer = servicer
        self.folder = folder
        self.caller = Caller()

    async def all(self, request: export_pb2.ExportRequest | None = None, **fields: Any) -> "Got":
        """Everything that one call gives."""
        call = self.stub.Export(request or export_pb2.ExportRequest(**fields))
        return Got([answer async for answer in call])


class Got:
    """The messages of an export."""

    def __init__(self, messages: Sequence[export_pb2.ExportResponse]) -> None:
        self.messages = messages

    @property
    def header(self) -> export_pb2.ExportHeader:
        return self.messages[0].header

    @property
    def summary(self) -> export_pb2.ExportSummary:
        return self.messages[-1].summary

    @property
    def chunks(self) -> list[export_pb2.ExportChunk]:
        return [answer.chunk for answer in self.messages if answer.HasField("chunk")]

    @property
    def files(self) -> list[export_pb2.ExportFile]:
        return [answer.file for answer in self.messages if answer.HasField("file")]

    @property
    def data(self) -> bytes:
        return b"".join(chunk.data for chunk in self.chunks)

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.data.splitlines()]

    @property
    def answers(self) -> list[str]:
        return [line["messages"][-1]["content"] for line in self.lines]

    @property
    def records(self) -> list[export_pb2.ExportRecord]:
        return [record for answer in self.messages for record in answer.records.records]


def consistent(got: Got) -> Got:
    """What was matched is what was written and what was left out, to the record."""
    summary = got.summary
    assert summary.matched_records == summary.written_records + sum(summary.skipped_records.values())
    return got


async def selected(server: Exporting, output: export_pb2.ExportOutput | None = None, **fields: Any) -> Got:
    """What a selection gives."""
    return consistent(await server.all(selection=export_pb2.ExportSelection(**fields), output=output))


async def refused(server: Exporting, **fields: Any) -> str:
    """The wrong fields that an export is refused for."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await server.all(**fields)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    return caught.value.details()


def parts(got: Got) -> dict[int, list[bytes]]:
    """By part, what was written there."""
    found: dict[int, list[bytes]] = defaultdict(list)
    for chunk in got.chunks:
        found[chunk.part].extend(chunk.data.splitlines())
    return found


@asynccontextmanager
async def exporting(
    open_store: Callable[[], RecordStore],
    folder: Path,
    *,
    write_timeout: float = 60.0,
    now: Callable[[], float] | None = None,
) -> AsyncIterator[Exporting]:
    """Serves Export alone, to whoever the test says the caller is."""
    clock = {} if now is None else {"now": now}
    vault = Vault(open_store, folder / "plans", folder / "export.key")
    servicer = ExportServicer(vault, write_timeout=lambda: write_timeout, sent=lambda _bytes: None, **clock)

    async def authenticator(rpc: Rpc, proceed: Proceed) -> None:
        rpc.call.caller = serving.caller
        await proceed(rpc)

    server = grpc.aio.server()
    door = Door([errors, request_id, authenticator])
    server.add_generic_rpc_handlers([proxy_service(door, {"Export": servicer.export})])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
    serving = Exporting(LlmProxyServiceStub(channel), servicer, folder, port)
    try:
        yield serving
    finally:
        await channel.close()
        await server.stop(5)
