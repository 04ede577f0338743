"""`manifest.json`: what an export holds, where it came from, and how to check it."""

from dataclasses import asdict
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from google.protobuf.json_format import MessageToDict

from llmproxy_client.dataset.names import split_of
from llmproxy_client.dataset.part import PartState, sha256_of
from llmproxy_client.dataset.state import State
from llmproxy_client.v1.export_pb2 import EXPORT_FORMAT_OPENAI_CHAT, ExportFormat, ExportSummary

VERSION: Final = 1
_PREFIX: Final = "EXPORT_FORMAT_"

Manifest = dict[str, Any]
"""What `manifest.json` holds."""


def manifest_of(folder: Path, state: State, summary: ExportSummary) -> Manifest:
    """The manifest of a whole export, whose files are in a folder."""
    header = state.header
    output = state.request.output
    return {
        "manifest_version": VERSION,
        "tool": f"llmproxy-client {metadata.version('llmproxy-client')}",
        "create_time": datetime.now(UTC).isoformat(timespec="seconds"),
        "format": ExportFormat.Name(output.format or EXPORT_FORMAT_OPENAI_CHAT).removeprefix(_PREFIX).lower(),
        "request": MessageToDict(state.request, preserving_proto_field_name=True),
        "plan_id": header.plan_id if header else "",
        "as_of_seq": header.as_of_seq if header else 0,
        "as_of_feedback_seq": header.as_of_feedback_seq if header else 0,
        "matched_records": summary.matched_records,
        "written_records": summary.written_records,
        "skipped_records": dict(sorted(summary.skipped_records.items())),
        "redacted_values": dict(sorted(summary.redacted_values.items())),
        "files": [_file(folder, part) for part in state.parts.values()],
    }


def next_after_seq(manifest: Manifest) -> int | None:
    """Behind which position the next incremental export begins.

    None where records before it were left for their time or their number: that export would never bring them.
    """
    request = manifest["request"]
    left = "end_time" in request.get("filter", {}) or "limit" in request.get("selection", {})
    return None if left else manifest["as_of_seq"]


def _file(folder: Path, part: PartState) -> dict[str, Any]:
    """A file; `verified` says whether every segment was found to be what the proxy had sent."""
    segments = [asdict(segment) for segment in part.segments]
    return {
        "name": part.name,
        "split": split_of(part.part),  # type: ignore[arg-type]  # the enumeration's numbers are kept as such
        "record_count": part.record_count,
        "size": part.size,
        "sha256": sha256_of(folder / part.name),
        "verified": all(segment.verified for segment in part.segments),
        "segments": segments,
    }
