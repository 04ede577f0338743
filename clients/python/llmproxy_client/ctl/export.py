"""`llmproxyctl export`: writes recorded calls as a dataset, or says how much it would be."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import grpc

from llmproxy_client.client import Client
from llmproxy_client.ctl.progress import ProgressLine, size
from llmproxy_client.ctl.terminal import Terminal
from llmproxy_client.dataset import DamagedExport, begun_at, export
from llmproxy_client.dataset.manifest import Manifest, next_after_seq
from llmproxy_client.dataset.parquet import parquet
from llmproxy_client.dataset.plain import can_read
from llmproxy_client.errors import BrokenStream, error_detail
from llmproxy_client.v1.export_pb2 import (
    EXPORT_COMPRESSION_ZSTD,
    ExportHeader,
    ExportRequest,
    ExportResponse,
    ExportSummary,
)

_HEAD = ("FILE", "SPLIT", "RECORDS", "SIZE", "SHA-256")


def write(
    client: Client,
    request_at: Callable[[datetime], ExportRequest],
    folder: Path,
    terminal: Terminal,
    *,
    restart: bool,
    as_parquet: bool,
    as_json: bool,
    timeout: float | None,
) -> None:
    """Writes the folder, and says what is in it.

    The request is made as of the time when the export began, be it in an earlier call: "seven days ago" stays the same.
    """
    began = time.time() if restart else begun_at(folder) or time.time()
    line = ProgressLine(terminal)

    def wait(error: grpc.RpcError, seconds: float) -> None:
        line.end()
        terminal.note(f"{error_detail(error).headline}; again in {seconds:g} s")

    try:
        manifest = export(
            client.stub,
            request_at(datetime.fromtimestamp(began, UTC)),
            folder,
            restart=restart,
            begun_at=began,
            convert=parquet if as_parquet else None,
            on_progress=line.show,
            on_wait=wait,
            timeout=timeout,
        )
    finally:
        line.end()
    if as_json:
        terminal.value(manifest)
        return
    terminal.table([_HEAD, *(_row(file) for file in (*manifest["files"], *manifest.get("parquet", ())))])
    terminal.line(_result(manifest, folder))
    _warn(manifest["files"], terminal)


def say_what_is_left(folder: Path, terminal: Terminal, *, refused: bool) -> None:
    """Says whether the same command goes on, if an export ended early that left something.

    Args:
        folder: What was to be written.
        terminal: Whom to tell.
        refused: Whether the proxy ended it for what was asked, as a record does that does not fit the format.
    """
    try:
        left = begun_at(folder) is not None
    except DamagedExport:
        return
    if not left:
        return
    terminal.note(
        f"a part of {folder} has come; the same command "
        + ("would end here again; for other options, begin anew with --restart" if refused else "goes on from there")
    )


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


def _warn(files: list[Manifest], terminal: Terminal) -> None:
    """Names the files that are not known to be what the proxy sent; of typed records it tells nothing to compare."""
    told = [file for file in files if any(segment["whole"] for segment in file["segments"])]
    unverified = ", ".join(file["name"] for file in told if not file["verified"])
    if not unverified:
        return
    hashed = all(segment["sha256"] for file in told for segment in file["segments"])
    if hashed and unverified.endswith(".zst") and not can_read(EXPORT_COMPRESSION_ZSTD):
        terminal.note(f"{unverified}: not checked, which takes zstandard: pip install zstandard")
        return
    terminal.note(
        f"{unverified}: records were erased while the export was interrupted, and what had come before "
        "may hold them; begin again with --restart"
    )


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
    after_seq = next_after_seq(manifest)
    return (
        f"{manifest['written_records']} of {manifest['matched_records']} records are in {folder}"
        + (f"; left out: {left_out}" if left_out else "")
        + (f"; what comes later: --after-seq {after_seq}" if after_seq is not None else "")
    )
