import asyncio
import gzip
import zlib
from collections.abc import Iterator

import pytest

from llmproxy_grpc.errors import Fault, UpstreamProtocolError
from llmproxy_grpc.providers.inflating import PIECE, Inflating, can_inflate
from tests.fakes.busy import LIMIT, SLACK, Busy

TEXT = b"".join(b"%d " % number for number in range(200_000))
FAULT = Fault(http_status=200)


def bare(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(data) + compressor.flush()


WRITTEN = {
    "gzip": ("gzip", gzip.compress),
    "its other name": ("x-gzip", gzip.compress),
    "several of gzip": ("gzip", lambda data: gzip.compress(data[:7]) + gzip.compress(b"") + gzip.compress(data[7:])),
    "deflate": ("deflate", zlib.compress),
    "deflate without its head": ("deflate", bare),
}


def pieces(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


def inflating(encoding: str, come: list[bytes]) -> Inflating:
    waiting = iter(come)

    async def compressed() -> bytes:
        return next(waiting, b"")

    return Inflating(encoding, compressed, FAULT)


async def expanded(body: Inflating) -> bytes:
    parts = []
    while part := await body.chunk():
        assert len(part) <= PIECE
        parts.append(part)
    return b"".join(parts)


@pytest.fixture
def busy() -> Iterator[Busy]:
    watch = Busy()
    with watch.watching():
        yield watch


@pytest.mark.parametrize("size", [100, 10_000_000])
@pytest.mark.parametrize("written", WRITTEN)
async def test_a_body_is_as_it_was_however_it_comes(written, size):
    encoding, compress = WRITTEN[written]
    assert await expanded(inflating(encoding, pieces(compress(TEXT), size))) == TEXT


@pytest.mark.parametrize("length", [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE])
async def test_every_length_comes_whole(length):
    assert await expanded(inflating("gzip", [gzip.compress(bytes(length))])) == bytes(length)


async def test_each_piece_is_given_as_soon_as_it_has_come():
    compressor = zlib.compressobj(wbits=31)
    events = [b"data: one\n\n", b"data: two\n\n"]
    come = [compressor.compress(event) + compressor.flush(zlib.Z_SYNC_FLUSH) for event in events]
    body = inflating("gzip", [*come, compressor.flush()])
    assert [await body.chunk(), await body.chunk(), await body.chunk()] == [*events, b""]


async def test_no_body_is_none():
    assert await expanded(inflating("gzip", [])) == b""


@pytest.mark.parametrize(
    "come",
    [
        [b"not gzip at all"],
        [gzip.compress(TEXT)[:-1]],
        [gzip.compress(TEXT)[:1000]],
        [gzip.compress(TEXT)[:-8] + bytes(8)],
        [gzip.compress(TEXT), b"and more"],
    ],
    ids=["none", "cut at its end", "cut", "another sum", "more"],
)
async def test_what_cannot_be_expanded_is_a_protocol_error(come):
    with pytest.raises(UpstreamProtocolError) as caught:
        await expanded(inflating("gzip", come))
    assert caught.value.fault == FAULT


async def test_behind_deflate_stands_nothing():
    with pytest.raises(UpstreamProtocolError):
        await expanded(inflating("deflate", [zlib.compress(TEXT) + b"more"]))


async def test_a_body_a_thousand_times_as_long_holds_nobody_up(busy):
    body = inflating("gzip", [gzip.compress(bytes(100 * 1024 * 1024))])
    length = 0
    while piece := await asyncio.create_task(body.chunk()):  # a task of its own: the test's is not watched
        length += len(piece)
    assert length == 100 * 1024 * 1024
    assert busy.longest < LIMIT * SLACK, busy.name


def test_other_encodings_are_left_as_they_are():
    assert not any(can_inflate(encoding) for encoding in ("", "identity", "br", "zstd", "gzip, gzip"))
