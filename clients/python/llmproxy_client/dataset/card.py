"""The papers beside a dataset: a card for people and the hub, and a description for LLaMA-Factory."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from llmproxy_client.dataset.lasting import write_lasting
from llmproxy_client.dataset.manifest import Manifest, next_after_seq

DATASET_INFO: Final = "dataset_info.json"
RECORDS: Final = "records"
"""The format of typed messages, which `datasets` does not read."""

_COLUMNS: Final[dict[str, dict[str, Any]]] = {
    "sharegpt": {
        "formatting": "sharegpt",
        "columns": {"messages": "conversations", "tools": "tools"},  # the system is the first turn
    },
    "alpaca": {
        "formatting": "alpaca",
        "columns": {
            "prompt": "instruction",
            "query": "input",
            "response": "output",
            "system": "system",
            "history": "history",
        },
    },
}


def card(manifest: Manifest) -> str:
    """The dataset card, as Markdown with the front matter that `datasets` reads, if there is anything to be read."""
    return "\n".join([*_front(manifest), *_body(manifest), ""])


def write_dataset_info(folder: Path, manifest: Manifest) -> None:
    """Writes what LLaMA-Factory wants to know, for the formats that it reads."""
    columns = _COLUMNS.get(manifest["format"])
    if columns is None:
        return
    entries = {file["split"]: {"file_name": file["name"], **columns} for file in manifest["files"]}
    write_lasting(folder / DATASET_INFO, f"{json.dumps(entries, indent=2)}\n")


def _front(manifest: Manifest) -> Iterator[str]:
    if not manifest["files"] or manifest["format"] == RECORDS:
        return
    yield "---"
    yield "configs:"
    yield "  - config_name: default"
    yield "    data_files:"
    for file in manifest["files"]:
        yield f"      - split: {file['split']}"
        yield f"        path: {file['name']}"
    yield "---"


def _body(manifest: Manifest) -> Iterator[str]:
    yield "# Recorded conversations"
    yield ""
    yield f"Format `{manifest['format']}`, written {manifest['create_time']} by {manifest['tool']}."
    yield ""
    yield "| file | records | bytes | SHA-256 |"
    yield "|---|---|---|---|"
    for file in manifest["files"]:
        yield f"| {file['name']} | {file['record_count']} | {file['size']} | `{file['sha256']}` |"
    yield ""
    yield f"{manifest['matched_records']} records matched, {manifest['written_records']} were written."
    yield from _counts("Left out", manifest["skipped_records"])
    yield from _counts("Redacted values", manifest["redacted_values"])
    if manifest["redacted_values"]:
        yield ""
        yield "Redaction finds what has a known form; names, addresses and the like stay. Look before you publish."
    yield ""
    yield "The request, the position in the store and the hash of every file are in `manifest.json`."
    after_seq = next_after_seq(manifest)
    if after_seq is not None:
        yield f"The next incremental export begins with `--after-seq {after_seq}`."
    yield ""
    yield "Answers of models fall under the terms of those who made them, and prompts under those of their authors."


def _counts(title: str, counts: dict[str, int]) -> Iterator[str]:
    if not counts:
        return
    yield ""
    yield f"{title}: " + ", ".join(f"{count} {name}" for name, count in counts.items()) + "."
