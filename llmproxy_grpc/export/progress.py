"""How far an export has come: all that it takes to go on behind a message, and nothing that grows with the data."""

from collections.abc import Mapping

from msgspec import Struct

from llmproxy_grpc.export.spec import Part


class FileState(Struct, frozen=True, array_like=True):
    """The file that is being written; its hash is not kept but made again, from `start` on."""

    part: Part = Part.ALL
    index: int = 0
    records: int = 0
    size: int = 0
    """In bytes, before compression."""
    crc: int = 0
    """CRC-32C of them."""
    start: int = 0
    """The cursor before its first record."""


class Progress(Struct, frozen=True, array_like=True):
    """The state behind one message.

    `cursor` is the position of the last record that was dealt with: in the store, or in the plan if there is one.
    """

    cursor: int = 0
    file: FileState = FileState()
    matched: int = 0
    selected: int = 0
    written: int = 0
    files: int = 0
    skipped: Mapping[str, int] = {}
    redacted: Mapping[str, int] = {}
