"""What an export that was cut off needs to go on, kept beside its files."""

import base64
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from llmproxy_client.dataset.faults import DamagedExport
from llmproxy_client.dataset.lasting import private
from llmproxy_client.dataset.names import STATE
from llmproxy_client.dataset.part import PartState
from llmproxy_client.v1.export_pb2 import ExportHeader, ExportRequest

_VERSION = 1


@dataclass(slots=True)
class State:
    """How far an export is.

    Args:
        request: What was asked first.
        header: What the proxy froze; None before the first header.
        resume_token: Goes on behind the last message that is in the files.
        parts: The files, by their names.
        begun_at: When it began, in Unix seconds; 0 if nobody said.
    """

    request: ExportRequest
    header: ExportHeader | None = None
    resume_token: str = ""
    parts: dict[str, PartState] = field(default_factory=dict)
    begun_at: float = 0.0

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """The state that is in a folder; None if there is none.

        Raises:
            DamagedExport: It cannot be read.
        """
        try:
            return cls._of_json(json.loads((folder / STATE).read_bytes()))
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise DamagedExport(f"{folder / STATE} cannot be read; remove the folder and begin anew") from error

    def write(self, folder: Path) -> None:
        """Puts it into a folder, whole or not at all."""
        value = {
            "version": _VERSION,
            "request": _text(self.request.SerializeToString(deterministic=True)),
            "header": None if self.header is None else _text(self.header.SerializeToString()),
            "resume_token": self.resume_token,
            "parts": [part.to_json() for part in self.parts.values()],
            "begun_at": self.begun_at,
        }
        fresh = folder / f"{STATE}.new"
        with open(fresh, "wb", opener=private) as file:
            file.write(json.dumps(value).encode())
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(folder / STATE)

    @classmethod
    def _of_json(cls, value: dict[str, Any]) -> Self:
        if value["version"] != _VERSION:
            raise ValueError("another version")
        parts = [PartState.of_json(part) for part in value["parts"]]
        header = value["header"]
        return cls(
            ExportRequest.FromString(base64.b64decode(value["request"])),
            None if header is None else ExportHeader.FromString(base64.b64decode(header)),
            value["resume_token"],
            {part.name: part for part in parts},
            float(value.get("begun_at", 0)),
        )


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
