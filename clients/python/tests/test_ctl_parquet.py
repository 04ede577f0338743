"""`llmproxyctl export --parquet`: what the files hold, and what happens if they cannot be written."""

import errno
import hashlib
import json

import pyarrow.parquet as pq
import pytest

from llmproxy_client.dataset import plain

LINES = [
    json.dumps(
        {
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": f"ü{number}"}]},
                {"role": "assistant", "content": "yes", "tool_calls": [{"id": "a"}]},
            ],
            "tools": [{"type": "function"}],
        },
        ensure_ascii=False,
        separators=(",", ":"),
    ).encode()
    + b"\n"
    for number in range(5)
]


def test_parquet_holds_the_messages_as_text_and_the_rest_as_json(ctl, script, dataset, tmp_path):
    script.exported = dataset(*LINES)
    assert ctl("export", "-o", str(tmp_path / "data"), "--parquet") == 0

    rows = pq.read_table(tmp_path / "data" / "train.parquet").to_pylist()
    assert len(rows) == 5
    assert rows[1]["messages"][0]["content"] == '[{"type":"text","text":"ü1"}]'
    assert rows[1]["messages"][1]["content"] == "yes"
    assert json.loads(rows[1]["messages"][1]["tool_calls"]) == [{"id": "a"}]
    assert json.loads(rows[1]["tools"]) == [{"type": "function"}]
    manifest = json.loads((tmp_path / "data" / "manifest.json").read_text())
    data = (tmp_path / "data" / "train.parquet").read_bytes()
    assert manifest["parquet"] == [
        {
            "name": "train.parquet",
            "split": "train",
            "record_count": 5,
            "size": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
        }
    ]
    assert "train.parquet" in ctl.out


def test_parquet_that_cannot_be_written_is_written_by_the_next_try(ctl, script, dataset, tmp_path, monkeypatch):
    script.exported = dataset(*LINES)
    with monkeypatch.context() as patch:
        patch.setattr(pq, "ParquetWriter", lambda *_, **__: _full())
        assert ctl("export", "-o", str(tmp_path / "data"), "--parquet") == 1
    assert "No space left" in ctl.err
    assert not (tmp_path / "data").exists()

    assert ctl("export", "-o", str(tmp_path / "data"), "--parquet") == 0, ctl.err
    assert pq.read_table(tmp_path / "data" / "train.parquet").num_rows == 5
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == [
        "README.md",
        "manifest.json",
        "train.jsonl",
        "train.parquet",
    ]


def test_parquet_of_zstandard_says_what_it_takes(ctl, script, capsys, monkeypatch):
    monkeypatch.setattr(plain, "_zstandard", lambda: None)
    with pytest.raises(SystemExit):
        ctl("export", "-o", "x", "--parquet", "--compress", "zstd")

    assert "pip install zstandard" in capsys.readouterr().err
    assert not script.asked


def _full():
    raise OSError(errno.ENOSPC, "No space left on device")
