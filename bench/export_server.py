"""What `bench.export` measures: Export over a store that this process fills, and streams that need no store.

`python -m bench.export_server FOLDER RECORDS WORDS fill` makes the store, with so many words in each of a record's six
texts; without `fill` the server prints `grpc ADDRESS` and `ready`.
"""

import asyncio
import hashlib
import random
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import uvloop

from llmproxy_grpc._gen.v1 import chat_pb2, content_pb2, export_pb2
from llmproxy_grpc.records.lines import openai_chat_line
from llmproxy_grpc.records.record import Body, Entry, Feedback, FeedbackKind, Record
from llmproxy_grpc.records.sqlite.store import SqliteStore
from llmproxy_grpc.records.store import Batch
from llmproxy_grpc.server.export import ExportServicer, Vault
from llmproxy_grpc.server.interceptors.errors import errors
from llmproxy_grpc.server.interceptors.request_id import request_id
from llmproxy_grpc.server.rpc import Context, Door
from llmproxy_grpc.server.service import proxy_service

BATCH = 1000
USUAL = 60
"""Words in each of a record's six texts: about 2.5 kB of JSON."""
RARE = 300
"""Every so many-th record has the label and the judgement that a narrow filter asks for."""
BEGUN = time.time_ns() // 1000
"""When the first record began: today, so that no server deletes them for their age."""
LETTERS = str.maketrans("0123456789", "ghijklmnop")
WORDS = [
    hashlib.blake2b(number.to_bytes(2), digest_size=4).hexdigest()[: 3 + number % 6].translate(LETTERS)
    for number in range(4000)
]


def fill(store: SqliteStore, records: int, words: int = USUAL) -> None:
    """Writes records of six texts with so many words each."""
    chance = random.Random(7)
    writer = store.writer()
    for start in range(0, records, BATCH):
        some = list(_entries(chance, range(start, min(start + BATCH, records)), words))
        judgements = [_judgement(number, entry.record.id) for number, entry in some if number % 10 == 0]
        writer.write(Batch(entries=[entry for _, entry in some], feedback=judgements))
    writer.close()


def _entries(chance: random.Random, numbers: range, words: int) -> Iterator[tuple[int, Entry]]:
    for number in numbers:
        turns = [" ".join(chance.choices(WORDS, k=words)) for _ in range(5)]
        said = [
            content_pb2.Message(role=4 if index % 2 else 3, parts=[content_pb2.ContentPart(text=text)])
            for index, text in enumerate(turns)
        ]
        request = chat_pb2.ChatRequest(model="assistant", messages=said)
        answer = content_pb2.Message(
            role=4, parts=[content_pb2.ContentPart(text=" ".join(chance.choices(WORDS, k=words)))]
        )
        response = chat_pb2.ChatResponse(candidates=[chat_pb2.Candidate(message=answer, finish_reason=1)])
        line, fault = openai_chat_line(request, response)
        body = Body(request.SerializeToString(), response.SerializeToString(), line, fault)
        yield number, Entry(_record(number, body), body)


def _record(number: int, body: Body) -> Record:
    key = hashlib.blake2b(number.to_bytes(8), digest_size=16).digest()
    return Record(
        id=(number + 2**100).to_bytes(16),
        tenant="default",
        method="Chat",
        started_at=BEGUN + number * 1000,
        ended_at=BEGUN + number * 1000 + 500,
        conversation=f"c{number // 4}",
        model=f"m{number % 8}",
        provider="openai",
        upstream_model="gpt",
        grpc_code=0,
        complete=True,
        finish_reasons=2,
        total_tokens=500,
        latency_us=500,
        messages=6,
        content_bytes=len(body.request) + len(body.response),
        labels=f'{{"tier":"{"rare" if number % RARE == 0 else "usual"}"}}',
        dkey=key,
        input_hash=key,
        full_hash=key,
    )


def _judgement(number: int, record_id: bytes) -> Feedback:
    return Feedback(
        id=(number + 2**110).to_bytes(16),
        tenant="default",
        record_id=record_id,
        name="helpful",
        kind=FeedbackKind.THUMBS,
        number=float(number % RARE == 0),
        created_at=number,
    )


def store_path(folder: Path, records: int, words: int) -> Path:
    """The file of a store."""
    return folder / f"records-{records}-{words}.sqlite3"


async def synthetic(data: bytes, context: Context) -> None:
    """Sends bytes that cost nothing to make: `record_count` of them in each message, `crc32c` in all."""
    asked = export_pb2.ExportChunk.FromString(data)
    sequence, sent, size = 0, 0, asked.record_count
    line = b"x" * size
    while sent < asked.crc32c:
        message = export_pb2.ExportResponse(sequence=sequence, chunk=export_pb2.ExportChunk(data=line, record_count=1))
        await context.write(message.SerializeToString())
        sequence += 1
        sent += size


async def serve(folder: Path, path: Path) -> None:
    """Serves until SIGTERM."""
    store = SqliteStore(path)
    vault = Vault(lambda: store, folder / "plans", folder / "export.key")
    export = ExportServicer(vault, write_timeout=lambda: 60.0, sent=lambda _bytes: None)
    server = grpc.aio.server()
    handlers = {"Synthetic": grpc.unary_stream_rpc_method_handler(synthetic)}
    server.add_generic_rpc_handlers(
        [
            proxy_service(Door([errors, request_id]), {"Export": export.export}),
            grpc.method_handlers_generic_handler("bench", handlers),
        ]
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"grpc 127.0.0.1:{port}\nready", flush=True)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    await server.stop(None)


if __name__ == "__main__":
    place, count, length, *rest = sys.argv[1:]
    file = store_path(Path(place), int(count), int(length))
    if rest == ["fill"]:
        fill(SqliteStore(file), int(count), int(length))
    else:
        uvloop.run(serve(Path(place), file))
