"""What the files of an export are called."""

from pathlib import Path
from typing import Final

from llmproxy_client.v1.export_pb2 import (
    EXPORT_COMPRESSION_GZIP,
    EXPORT_COMPRESSION_ZSTD,
    EXPORT_FORMAT_CSV,
    EXPORT_FORMAT_RECORDS,
    SPLIT_PART_TEST,
    SPLIT_PART_VALIDATION,
    ExportOutput,
    SplitPart,
)

STATE: Final = "state.json"
MANIFEST: Final = "manifest.json"
CARD: Final = "README.md"

RECORDS: Final = "records.binpb"

_COMPRESSED: Final = {EXPORT_COMPRESSION_GZIP: ".gz", EXPORT_COMPRESSION_ZSTD: ".zst"}


def split_of(part: "SplitPart.ValueType") -> str:
    """The name of a split as data people say it; what is not split is for training."""
    if part == SPLIT_PART_VALIDATION:
        return "validation"
    return "test" if part == SPLIT_PART_TEST else "train"


def partial_folder(folder: Path) -> Path:
    """Where the files are until the export is whole.

    Raises:
        ValueError: The folder has no name of its own, beside which that could be.
    """
    if folder.name in {"", ".."}:
        raise ValueError(f"{str(folder)!r} is no folder with a name of its own")
    return folder.with_name(f"{folder.name}.partial")


def file_name(part: "SplitPart.ValueType", output: ExportOutput) -> str:
    """The file of one part, such as `train.jsonl.gz`; typed records are neither split nor compressed."""
    if output.format == EXPORT_FORMAT_RECORDS:
        return RECORDS
    ending = ".csv" if output.format == EXPORT_FORMAT_CSV else ".jsonl"
    return f"{split_of(part)}{ending}{_COMPRESSED.get(output.compression, '')}"
