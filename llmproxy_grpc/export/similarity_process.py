"""Reads records and hashes them in a process of its own, since that holds the interpreter for seconds.

`python -m llmproxy_grpc.export.similarity_process` answers batches on its standard input, until that ends.
"""

import os
import select
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b
from typing import IO, Final, Self

import msgspec
from msgspec import Struct

from llmproxy_grpc.children import finding_us, without_secrets
from llmproxy_grpc.export.similarity import MOST_HASHES, keys, shingles
from llmproxy_grpc.messages import MediaPart, Message, Part, ToolCallPart, ToolResultPart
from llmproxy_grpc.records.decoding import Unreadable, read_content, texts_of
from llmproxy_grpc.records.record import Body

_LENGTH: Final = 4
_PAUSE_MS: Final = 100
"""Milliseconds between two looks whether anybody still waits."""


class Sketch(Struct, frozen=True, array_like=True):
    """What is compared of a record: the least of its shingles' hashes, and keys that records alike share."""

    hashes: bytes
    keys: list[int]


class Sketching:
    """The process, from the outside; use it in `with`.

    Args:
        check: Called while it is waited for; raises if nobody needs the result any longer.

    Raises:
        OSError: It cannot be started, or has ended.
    """

    def __init__(self, check: Callable[[], None]) -> None:
        self._check = check
        self._begun = False

    def __enter__(self) -> Self:
        command = [sys.executable, "-P", "-m", __name__]
        self._process = subprocess.Popen(  # noqa: S603 - our own
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=finding_us(without_secrets(os.environ))
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def sketches(self, bodies: Sequence[Body | None]) -> list[Sketch]:
        """One for each; without hashes where there is no content, or none that can be read."""
        batch = [(body.request, body.response) if body is not None else None for body in bodies]
        assert self._process.stdin is not None  # noqa: S101 - a pipe, as asked for
        if not self._begun:
            self._answer()  # it reads from now on, so that writing holds nobody up
            self._begun = True
        _write(self._process.stdin, msgspec.msgpack.encode(batch))
        return msgspec.msgpack.decode(self._answer(), type=list[Sketch])

    def _answer(self) -> bytes:
        assert self._process.stdout is not None  # noqa: S101 - a pipe, as asked for
        there = select.poll()
        there.register(self._process.stdout, select.POLLIN)
        while not there.poll(_PAUSE_MS):
            self._check()
        answer = _read(self._process.stdout)
        if answer is None:
            raise OSError("the process that compares records has ended")
        return answer


def sketch(content: tuple[bytes, bytes] | None) -> Sketch:
    """What is compared of one record's request and response."""
    if content is None:
        return Sketch(b"", [])
    try:
        messages = read_content(Body(*content)).messages
    except Unreadable:
        return Sketch(b"", [])
    hashes = shingles(text for message in messages for text in texts_of(message.parts))
    return Sketch(hashes[:MOST_HASHES].tobytes(), keys(hashes, _apart(messages)))


def _apart(messages: Sequence[Message]) -> int:
    """A number of what has no words: other pictures, or calls of other tools, are another record."""
    found = blake2b(digest_size=8)
    for message in messages:
        for thing in _things(message.parts):
            found.update(len(thing).to_bytes(8) + thing)
    return int.from_bytes(found.digest())


def _things(parts: Sequence[Part]) -> Iterator[bytes]:
    for part in parts:
        match part:
            case MediaPart(data=data, uri=uri, file_id=file_id):
                yield (uri or file_id or "").encode(errors="replace") if data is None else data
            case ToolCallPart(name=name):
                yield name.encode(errors="replace")
            case ToolResultPart(content=content):
                yield from _things(content)
            case _:
                pass


def _write(pipe: IO[bytes], data: bytes) -> None:
    pipe.write(len(data).to_bytes(_LENGTH) + data)
    pipe.flush()


def _read(pipe: IO[bytes]) -> bytes | None:
    head = pipe.read(_LENGTH)
    return pipe.read(int.from_bytes(head)) if len(head) == _LENGTH else None


def main() -> None:
    """Says that it is there, by an empty answer, and answers batches until there are no more."""
    decoder = msgspec.msgpack.Decoder(list[tuple[bytes, bytes] | None])
    _write(sys.stdout.buffer, b"")
    while (batch := _read(sys.stdin.buffer)) is not None:
        _write(sys.stdout.buffer, msgspec.msgpack.encode([sketch(content) for content in decoder.decode(batch)]))


if __name__ == "__main__":
    main()
