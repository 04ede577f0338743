"""`llmproxyctl export`: writes recorded calls as a dataset, or says how much it would be."""

from pathlib import Path

from llmproxy_client.client import Client
from llmproxy_client.ctl.progress import ProgressLine, size
from llmproxy_client.ctl.terminal import Terminal
from llmproxy_client.dataset import export
from llmproxy_client.dataset.manifest import Manifest
from llmproxy_client.dataset.parquet import write_parquet
from llmproxy_client.errors import BrokenStream
from llmproxy_client.v1.export_pb2 import ExportHeader, ExportRequest, ExportResponse, ExportSummary

_HEAD = ("FILE", "SPLIT", "RECORDS", "SIZE", "SHA-256")


def write(
    client: Client,
    request: ExportRequest,
    folder: Path,
    terminal: Terminal,
    *,
    restart: bool,
    parquet: bool,
    as_json: bool,
    timeout: float | None,
) -> None:
    """Writes the folder, and says what is in it."""
    line = ProgressLine(terminal)
    try:
        manifest = export(client.stub, request, folder, restart=restart, on_progress=line.show, timeout=timeout)
    finally:
        line.end()
    written = write_parquet(folder, manifest) if parquet else []
    if as_json:
        terminal.value(manifest)
        return
    terminal.table([_HEAD, *(_row(file) for file in manifest["files"])])
    terminal.line(_result(manifest, folder))
    for path in written:
        terminal.line(f"wrote {path}")


def plan(client: Client, request: ExportRequest, terminal: Terminal, *, as_json: bool, timeout: float | None) -> None:
    """Says how much an export would be, without its data."""
    messages: list[ExportResponse] = list(client.stub.Export(request, timeout=timeout))
    header = next((message.header for message in messages if message.HasField("header")), None)
    summary = next((message.summary for message in messages if message.HasField("summary")), None)
    if header is None or summary is None:
        raise BrokenStream("the plan has no header or no summary")
    if as_json:
        for message in messages:
            terminal.json(message)
        return
    terminal.table(_plan_rows(header, summary))


def _plan_rows(header: ExportHeader, summary: ExportSummary) -> list[tuple[str, str]]:
    rows = [
        ("matched", _count(header.matched_records)),
        ("selected", _count(header.selected_records)),
        ("estimated size", size(header.estimated_bytes) if header.estimated_bytes >= 0 else "not known"),
        *((f"left out: {reason}", str(count)) for reason, count in sorted(summary.skipped_records.items())),
        ("as of", str(header.as_of_seq)),
    ]
    if header.plan_id:
        rows.append(("plan", header.plan_id))
    return rows


def _count(count: int) -> str:
    return str(count) if count >= 0 else "not counted"


def _row(file: Manifest) -> tuple[str, ...]:
    return file["name"], file["split"], str(file["record_count"]), size(file["size"]), file["sha256"]


def _result(manifest: Manifest, folder: Path) -> str:
    left_out = ", ".join(f"{count} {reason}" for reason, count in manifest["skipped_records"].items())
    return (
        f"{manifest['written_records']} of {manifest['matched_records']} records are in {folder}"
        + (f"; left out: {left_out}" if left_out else "")
        + f"; what comes later: --after-seq {manifest['as_of_seq']}"
    )
