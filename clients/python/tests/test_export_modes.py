"""What an export writes holds what people said: it is made for its owner alone, from the first byte on."""

import os
import stat

import pytest

from llmproxy_client.dataset import Download, FolderInUse, export
from llmproxy_client.v1.export_pb2 import EXPORT_FORMAT_SHAREGPT, ExportRequest

LINES = [b'{"conversations": [{"from": "human", "value": "%d"}]}\n' % number for number in range(5)]
REQUEST = ExportRequest(output={"format": EXPORT_FORMAT_SHAREGPT})


@pytest.fixture(autouse=True)
def _generous():
    """A process that makes its files for everybody unless it says otherwise."""
    before = os.umask(0)
    yield
    os.umask(before)


def modes(folder):
    """Name and permissions of everything in a folder, however deep."""
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*")}


def private(*files, folder="data"):
    return {folder: 0o700, **dict.fromkeys(files, 0o600)}


def test_files_and_folder_are_for_their_owner_alone(ctl, script, dataset, tmp_path):
    script.exported = dataset(*LINES)
    assert ctl("export", "--format", "sharegpt", "--parquet", "-o", str(tmp_path / "data")) == 0
    assert modes(tmp_path) == private("train.jsonl", "train.parquet", "manifest.json", "README.md", "dataset_info.json")


def test_so_are_those_of_an_export_that_is_not_over(client, script, dataset, tmp_path):
    script.exported = dataset(*LINES)
    with Download(REQUEST, tmp_path / "data") as download:
        for message in client.stub.Export(download.request()):
            download.take(message)
        download._sync()
        seen = modes(tmp_path)
    assert seen == private("train.jsonl", "state.json", ".data.partial.lock", folder="data.partial")


def test_what_an_older_version_has_left_open_is_closed(client, script, dataset, tmp_path):
    script.exported = dataset(*LINES)
    (tmp_path / "data.partial").mkdir(mode=0o755)
    export(client.stub, REQUEST, tmp_path / "data")
    assert modes(tmp_path)["data"] == 0o700


@pytest.mark.skipif(not hasattr(os, "O_NOFOLLOW"), reason="the system has no such links")
@pytest.mark.parametrize("name", [".data.partial.lock", "data.partial/train.jsonl", "data.partial/state.json.new"])
def test_no_link_in_the_place_of_a_file_is_followed(client, script, dataset, tmp_path, name):
    script.exported = dataset(*LINES)
    own = tmp_path / "own.txt"
    own.write_text("mine")
    link = tmp_path / "there" / name
    link.parent.mkdir(parents=True)
    link.symlink_to(own)
    with pytest.raises(OSError, match="symbolic links"):
        export(client.stub, REQUEST, tmp_path / "there" / "data")
    assert own.read_text() == "mine"


@pytest.mark.parametrize("name", ["data", "data.partial"])
@pytest.mark.parametrize("there", [True, False])
def test_a_folder_that_is_a_link_is_refused_before_anything_is_asked_for(client, script, tmp_path, name, there):
    elsewhere = tmp_path / "elsewhere"
    if there:
        elsewhere.mkdir(mode=0o755)
    (tmp_path / name).symlink_to(elsewhere)
    with pytest.raises(FolderInUse, match="is a link"):
        export(client.stub, REQUEST, tmp_path / "data")
    assert not there or (stat.S_IMODE(elsewhere.stat().st_mode), list(elsewhere.iterdir())) == (0o755, [])
