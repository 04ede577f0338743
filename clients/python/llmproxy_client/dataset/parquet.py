"""Parquet beside the files of JSON Lines, by the optional package `pyarrow`.

A column for each key of a line. Lists of messages become lists of structs of text, so that every reader sees one type;
content that is no text, tools and whatever else has a shape of its own stays JSON in a text column, byte for byte.
"""

import json
import os
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Final

from llmproxy_client.dataset.lasting import private
from llmproxy_client.dataset.manifest import Manifest
from llmproxy_client.dataset.part import sha256_of
from llmproxy_client.dataset.plain import can_read, plain_blocks
from llmproxy_client.v1.export_pb2 import (
    EXPORT_COMPRESSION_GZIP,
    EXPORT_COMPRESSION_UNSPECIFIED,
    EXPORT_COMPRESSION_ZSTD,
)

ROW_GROUP: Final = 10_000
"""Most rows of a group."""
_MESSAGES: Final = frozenset({"messages", "prompt", "completion", "chosen", "rejected", "conversations"})
_FIELDS: Final = ("role", "content", "name", "tool_call_id", "tool_calls", "reasoning_content", "from", "value")
_COMPRESSIONS: Final = {".gz": EXPORT_COMPRESSION_GZIP, ".zst": EXPORT_COMPRESSION_ZSTD}


class ParquetUnavailable(Exception):
    """The package `pyarrow` is not installed, or the format has no lines of JSON."""


def check_parquet(name: str, *, zstandard: bool = False) -> None:
    """Says before anything is exported that it will not do.

    Args:
        name: The format.
        zstandard: Whether the files are compressed so.

    Raises:
        ParquetUnavailable: There is no pyarrow, nothing that reads Zstandard, or the format is no JSON Lines.
    """
    if name in {"records", "csv"}:
        raise ParquetUnavailable(f"--parquet takes a format of JSON Lines, which {name} is not")
    try:
        import pyarrow.parquet  # noqa: F401, PLC0415 - an optional package
    except ImportError:
        raise ParquetUnavailable("--parquet takes pyarrow: pip install pyarrow") from None
    if zstandard and not can_read(EXPORT_COMPRESSION_ZSTD):
        raise ParquetUnavailable("--parquet of --compress zstd takes zstandard: pip install zstandard")


def parquet(folder: Path, manifest: Manifest) -> Manifest:
    """Writes a Parquet file beside each file of JSON Lines; returns what the manifest says of them.

    Raises:
        OSError: A file cannot be read or written.
    """
    written = [(_convert(folder, file["name"], file["split"]), file) for file in manifest["files"]]
    return {
        "parquet": [
            {
                "name": path.name,
                "split": file["split"],
                "record_count": file["record_count"],
                "size": path.stat().st_size,
                "sha256": sha256_of(path),
            }
            for path, file in written
        ]
    }


def _convert(folder: Path, name: str, split: str) -> Path:
    import pyarrow as pa  # noqa: PLC0415 - an optional package
    import pyarrow.parquet as pq  # noqa: PLC0415 - as above

    source, target = folder / name, folder / f"{split}.parquet"
    columns = list(dict.fromkeys(key for row in _rows(source) for key in row))
    schema = pa.schema([pa.field(column, _type(column)) for column in columns])
    with open(target, "wb", opener=private) as file, pq.ParquetWriter(file, schema, compression="zstd") as writer:
        rows = _rows(source)
        while group := list(islice(rows, ROW_GROUP)):
            writer.write_table(pa.Table.from_pylist([_row(row, columns) for row in group], schema=schema))
        writer.close()
        file.flush()
        os.fsync(file.fileno())
    return target


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a file, however it is compressed."""
    compression = _COMPRESSIONS.get(path.suffix, EXPORT_COMPRESSION_UNSPECIFIED)
    rest = b""
    with path.open("rb") as file:
        for block in plain_blocks(file, compression):
            *lines, rest = (rest + block).split(b"\n")
            for line in lines:
                yield json.loads(line)


def _type(column: str) -> Any:
    import pyarrow as pa  # noqa: PLC0415 - an optional package

    if column in _MESSAGES:
        return pa.list_(pa.struct([pa.field(field, pa.string()) for field in _FIELDS]))
    return pa.bool_() if column == "label" else pa.string()


def _row(row: Mapping[str, Any], columns: list[str]) -> dict[str, Any]:
    return {column: _cell(column, row.get(column)) for column in columns}


def _cell(column: str, value: Any) -> Any:
    if column in _MESSAGES and isinstance(value, list):
        return [{field: _text(message.get(field)) for field in _FIELDS} for message in value]
    return value if column == "label" else _text(value)


def _text(value: Any) -> str | None:
    """Text as it is, anything else as JSON."""
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
