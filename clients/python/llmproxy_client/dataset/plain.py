"""The bytes of a file before compression, for checking what the proxy said of them."""

import gzip
from collections.abc import Iterator
from typing import IO, Any, Final

from llmproxy_client.v1.export_pb2 import EXPORT_COMPRESSION_GZIP, EXPORT_COMPRESSION_ZSTD, ExportCompression

BLOCK: Final = 1 << 20


def can_read(compression: "ExportCompression.ValueType") -> bool:
    """Whether files so compressed can be read here: Zstandard takes the package `zstandard`."""
    return compression != EXPORT_COMPRESSION_ZSTD or _zstandard() is not None


def plain_blocks(file: IO[bytes], compression: "ExportCompression.ValueType") -> Iterator[bytes]:
    """The rest of a file before compression, block by block; for what `can_read` says can be read.

    Raises:
        OSError: The file is no such file, or cannot be read.
        EOFError: It is cut off.
    """
    reader: Any = file
    if compression == EXPORT_COMPRESSION_GZIP:
        reader = gzip.GzipFile(fileobj=file)
    elif compression == EXPORT_COMPRESSION_ZSTD:
        reader = _zstandard().ZstdDecompressor().stream_reader(file, read_across_frames=True)
    while block := reader.read(BLOCK):
        yield block


def _zstandard() -> Any:
    try:
        import zstandard  # noqa: PLC0415 - an optional package
    except ImportError:
        return None
    return zstandard
