"""Exports to a folder: whole, cut off anywhere, damaged, twice at once."""

import gzip
import hashlib
import json
from functools import partial

import grpc
import pytest
import zstandard

from llmproxy_client import (
    BrokenStream,
    DamagedExport,
    DifferentExport,
    FolderInUse,
    aio,
    export,
)
from llmproxy_client.dataset import Download, begun_at, plain
from llmproxy_client.dataset.part import PartFile, PartState
from llmproxy_client.v1.export_pb2 import (
    EXPORT_COMPRESSION_GZIP,
    EXPORT_COMPRESSION_ZSTD,
    EXPORT_FORMAT_RECORDS,
    EXPORT_FORMAT_SHAREGPT,
    SPLIT_PART_VALIDATION,
    ExportRecord,
    ExportRequest,
    ExportResponse,
)

LINES = [
    json.dumps({"messages": [{"role": "user", "content": f"{number}" * 9}]}).encode() + b"\n" for number in range(11)
]
WHOLE = b"".join(LINES)
NO_WAIT = partial(export, sleep=lambda _seconds: None)


def test_an_export_leaves_file_manifest_and_card_and_nothing_else(client, script, dataset, folder):
    script.exported = dataset(*LINES)
    manifest = export(client.stub, ExportRequest(), folder)

    assert (folder / "train.jsonl").read_bytes() == WHOLE
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "manifest.json", "train.jsonl"]
    assert [path.name for path in folder.parent.iterdir()] == ["data"]
    assert json.loads((folder / "manifest.json").read_text()) == manifest
    assert manifest["format"] == "openai_chat"
    assert manifest["as_of_seq"] == 90
    assert manifest["skipped_records"] == {"no_answer": 1}
    file = manifest["files"][0]
    assert (file["record_count"], file["sha256"]) == (11, hashlib.sha256(WHOLE).hexdigest())
    assert file["verified"]
    assert [segment["record_count"] for segment in file["segments"]] == [4, 4, 3]
    assert "train.jsonl" in (folder / "README.md").read_text()


def test_an_export_of_nothing_is_a_dataset_without_files(client, script, dataset, folder):
    script.exported = dataset()
    manifest = export(client.stub, ExportRequest(), folder)

    assert manifest["files"] == []
    assert manifest["written_records"] == 0
    assert (folder / "README.md").read_text().startswith("# ")  # front matter without entries is read by nobody


def test_an_export_goes_on_wherever_it_is_cut(client, script, dataset, folder):
    script.exported = dataset(*LINES)
    script.cuts = [2] * (len(script.exported) - 2)  # each call brings the header and one message more
    export_once = NO_WAIT(client.stub, ExportRequest(), folder)

    assert (folder / "train.jsonl").read_bytes() == WHOLE
    assert export_once["files"][0]["verified"]
    assert len(script.asked) == len(script.exported) - 1


@pytest.mark.parametrize("compression", [0, EXPORT_COMPRESSION_GZIP, EXPORT_COMPRESSION_ZSTD])
def test_a_later_process_goes_on_where_the_first_was_cut_off(client, script, dataset, folder, compression):
    compress = {0: bytes, EXPORT_COMPRESSION_GZIP: gzip.compress, EXPORT_COMPRESSION_ZSTD: zstandard.compress}
    script.exported = dataset(*LINES, compress=compress[compression])
    request = ExportRequest()
    request.output.compression = compression
    script.error = None
    for behind in range(1, len(script.exported)):
        script.cuts = [2]
        with pytest.raises(grpc.RpcError):
            export(client.stub, request, folder, sleep=_stop)
        assert folder.with_name("data.partial").is_dir(), behind
        if behind == len(script.exported) - 2:
            break
    manifest = export(client.stub, request, folder)

    assert manifest["files"][0]["verified"]
    found = (folder / manifest["files"][0]["name"]).read_bytes()
    plain = {0: bytes, EXPORT_COMPRESSION_GZIP: gzip.decompress, EXPORT_COMPRESSION_ZSTD: _unzstd}
    assert plain[compression](found) == WHOLE


def test_what_was_written_behind_the_last_state_is_cut_off_and_asked_for_again(script, dataset, folder):
    messages = _numbered(dataset(*LINES))
    with Download(ExportRequest(), folder) as download:
        for message in messages[:3]:
            download.take(message)
    with (folder.with_name("data.partial") / "train.jsonl").open("ab") as file:
        file.write(b'{"half of a li')
    with Download(ExportRequest(), folder) as download:
        assert download.request().resume_token == "2"
        for message in _numbered([messages[0], *messages[3:]], behind=2):
            download.take(message)
        download.finish()

    assert (folder / "train.jsonl").read_bytes() == WHOLE


def test_an_export_without_its_summary_is_not_whole(client, script, dataset, folder):
    script.exported = dataset(*LINES)[:-1]
    with pytest.raises(BrokenStream, match="summary"):  # although the call ends OK, as behind a careless hop
        export(client.stub, ExportRequest(), folder)

    assert not folder.exists()


def test_a_missing_message_breaks_the_export(dataset, folder):
    messages = _numbered(dataset(*LINES))
    with Download(ExportRequest(), folder) as download:
        for message in messages[:2]:
            download.take(message)
        with pytest.raises(BrokenStream, match="3 came where 2"):
            download.take(messages[3])


@pytest.mark.parametrize("wrong", ["data", "crc32c", "record_count"])
def test_a_damaged_chunk_is_never_kept(dataset, folder, wrong):
    messages = dataset(*LINES)
    chunk = messages[1].chunk
    if wrong == "data":
        chunk.data = chunk.data.replace(b"000", b"010", 1)
    elif wrong == "crc32c":
        chunk.crc32c ^= 1
    else:
        chunk.record_count += 1
    with pytest.raises(DamagedExport):
        _take_all(messages, folder)

    assert not folder.exists()


def test_a_file_whose_hash_is_wrong_is_refused(dataset, folder):
    messages = dataset(*LINES)
    file = next(message.file for message in messages if message.HasField("file"))
    file.sha256 = bytes(32)
    with pytest.raises(DamagedExport, match="SHA-256"):
        _take_all(messages, folder)


def test_a_file_whose_hash_is_not_told_is_kept_and_not_called_verified(client, script, dataset, folder):
    messages = dataset(*LINES)
    next(message.file for message in messages if message.HasField("file")).sha256 = b""
    script.exported = messages
    [file] = export(client.stub, ExportRequest(), folder)["files"]
    assert file["sha256"] == hashlib.sha256(WHOLE).hexdigest()
    assert not file["verified"]


@pytest.mark.parametrize("told", [True, False])
def test_a_file_that_cannot_be_unpacked_here_has_the_hash_that_was_told_or_none(dataset, folder, monkeypatch, told):
    monkeypatch.setattr(plain, "_zstandard", lambda: None)
    request = ExportRequest()
    request.output.compression = EXPORT_COMPRESSION_ZSTD
    messages = dataset(*LINES[:8], compress=zstandard.compress)
    hashes = [hashlib.sha256(b"".join(LINES[at : at + 4])).hexdigest() if told else "" for at in (0, 4)]
    for message in messages:
        if message.HasField("file"):
            message.file.sha256 = message.file.sha256 if told else b""
    messages = _numbered(messages)
    behind_the_first_file = next(at for at, message in enumerate(messages, 1) if message.HasField("file"))
    with Download(request, folder) as download:
        for message in messages[:behind_the_first_file]:
            download.take(message)
    rest = _numbered([messages[0], *messages[behind_the_first_file:]], behind=behind_the_first_file)
    with Download(request, folder) as download:
        for message in rest:
            download.take(message)
        [file] = download.finish()["files"]

    assert [segment["sha256"] for segment in file["segments"]] == hashes
    assert not file["verified"]


def test_a_chunk_that_cannot_be_decompressed_is_refused(dataset, folder):
    request = ExportRequest()
    request.output.compression = EXPORT_COMPRESSION_GZIP
    with pytest.raises(DamagedExport, match="decompressed"):
        _take_all(dataset(*LINES), folder, request)


def test_another_request_does_not_go_on_in_the_same_folder(dataset, folder):
    with Download(ExportRequest(), folder) as download:
        download.take(_numbered(dataset(*LINES))[0])
    other = ExportRequest(max_chunk_bytes=4096)
    with pytest.raises(DifferentExport):
        Download(other, folder)
    with Download(other, folder, restart=True) as download:
        assert not download.resumed


def test_another_plan_behind_a_resume_is_refused(dataset, folder):
    messages = _numbered(dataset(*LINES))
    with Download(ExportRequest(), folder) as download:
        download.take(messages[0])
        download.request()
        messages[0].header.as_of_seq += 1
        with pytest.raises(DifferentExport):
            download.take(messages[0])


def test_a_folder_that_is_there_is_left_alone(client, script, folder):
    folder.mkdir(parents=True)
    (folder / "mine.txt").write_text("mine")
    with pytest.raises(FolderInUse, match="there already"):
        export(client.stub, ExportRequest(), folder)

    assert script.asked == []


def test_an_empty_folder_is_filled(client, script, dataset, folder):
    folder.mkdir(parents=True)
    script.exported = dataset(*LINES)
    export(client.stub, ExportRequest(), folder)

    assert (folder / "train.jsonl").exists()


def test_a_state_that_cannot_be_read_says_what_to_do(folder):
    partial = folder.with_name("data.partial")
    partial.mkdir(parents=True)
    (partial / "state.json").write_text("{")
    with pytest.raises(DamagedExport, match="remove the folder"):
        Download(ExportRequest(), folder)


def test_a_file_that_has_become_shorter_is_not_gone_on_with(dataset, folder):
    messages = _numbered(dataset(*LINES))
    with Download(ExportRequest(), folder) as download:
        for message in messages[:2]:
            download.take(message)
    (folder.with_name("data.partial") / "train.jsonl").write_bytes(b"")
    with Download(ExportRequest(), folder) as download:
        header, chunk = _numbered([messages[0], messages[2]], behind=1)
        download.take(header)
        with pytest.raises(DamagedExport, match="shorter"):
            download.take(chunk)


@pytest.mark.parametrize("nameless", [".", "..", "/", "", "data/.."])
def test_a_folder_without_a_name_of_its_own_is_refused(client, script, tmp_path, monkeypatch, nameless):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="no folder with a name of its own"):
        export(client.stub, ExportRequest(), nameless)

    assert (script.asked, list(tmp_path.iterdir())) == ([], [])


def test_a_request_brings_no_token_of_its_own(folder):
    with pytest.raises(ValueError, match="token"):
        Download(ExportRequest(resume_token="x"), folder)


def test_typed_records_are_written_behind_their_lengths(client, script, dataset, folder):
    records = [ExportRecord(id=f"r{number}", method="Chat" * number) for number in range(60)]
    script.exported = [
        dataset()[0],
        ExportResponse(records={"records": records[:50]}),
        ExportResponse(heartbeat={}),
        ExportResponse(records={"records": records[50:]}),
        ExportResponse(summary={"matched_records": 60, "written_records": 60}),
    ]
    request = ExportRequest()
    request.output.format = EXPORT_FORMAT_RECORDS
    export(client.stub, request, folder)

    assert list(_delimited((folder / "records.binpb").read_bytes())) == records


def test_the_same_typed_records_are_the_same_bytes(client, script, dataset, folder):
    labels = {f"label {number}": "x" for number in range(16)}
    record = ExportRecord(id="r", request={"model": "m", "labels": labels})
    script.exported = [
        dataset()[0],
        ExportResponse(records={"records": [record]}),
        ExportResponse(summary={"matched_records": 1, "written_records": 1}),
    ]
    request = ExportRequest()
    request.output.format = EXPORT_FORMAT_RECORDS
    export(client.stub, request, folder)

    in_order = record.SerializeToString(deterministic=True)
    (found,) = _behind_lengths((folder / "records.binpb").read_bytes())
    assert found == in_order, "a map has no order of its own"


def test_typed_records_are_of_the_part_that_was_asked_for(client, script, dataset, folder):
    script.exported = [
        dataset()[0],
        ExportResponse(records={"records": [ExportRecord(id="r")]}),
        ExportResponse(summary={"matched_records": 1, "written_records": 1}),
    ]
    request = ExportRequest()
    request.selection.split.validation_fraction = 0.5
    request.output.format = EXPORT_FORMAT_RECORDS
    request.output.part = SPLIT_PART_VALIDATION
    manifest = export(client.stub, request, folder)

    (file,) = manifest["files"]
    assert (file["name"], file["split"]) == ("records.binpb", "validation")
    assert (folder / "README.md").read_text().startswith("# ")  # `datasets` cannot read them


def test_llama_factory_is_told_of_its_formats(client, script, dataset, folder):
    script.exported = dataset(*LINES)
    request = ExportRequest()
    request.output.format = EXPORT_FORMAT_SHAREGPT
    export(client.stub, request, folder)

    assert json.loads((folder / "dataset_info.json").read_text())["train"]["formatting"] == "sharegpt"


async def test_the_asynchronous_client_exports_and_goes_on_as_well(target, script, dataset, folder):
    script.exported = dataset(*LINES)
    script.cuts = [3]
    waits = []

    async def sleep(seconds):
        waits.append(seconds)

    def convert(inside, manifest):
        return {"converted": [inside.name, len(manifest["files"]), begun_at(folder)]}

    async with aio.connect(target, retries=False) as client:
        manifest = await aio.export(client.stub, ExportRequest(), folder, begun_at=7.0, convert=convert, sleep=sleep)

    assert (manifest["written_records"], manifest["converted"]) == (11, ["data.partial", 1, 7.0])
    assert (folder / "train.jsonl").read_bytes() == WHOLE
    assert waits == [0.5]


def test_a_segment_out_of_order_is_refused(tmp_path):
    with PartFile(tmp_path, PartState("train.jsonl", 1)) as file:
        file.append(b"{}\n", records=1, index=0)
        with pytest.raises(DamagedExport, match="file 2 came"):
            file.append(b"{}\n", records=1, index=2)


def _numbered(messages, behind=0):
    numbered = []
    for number, message in enumerate(messages):
        copy = ExportResponse()
        copy.CopyFrom(message)
        copy.sequence, copy.resume_token = number, str(behind + number)
        numbered.append(copy)
    return numbered


def _take_all(messages, folder, request=None):
    with Download(request or ExportRequest(), folder) as download:
        for message in _numbered(messages):
            download.take(message)
        return download.finish()


def _stop(_seconds):
    raise grpc.RpcError("stopped by the test")


def _unzstd(data):
    return zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True).read()


def _delimited(data):
    return map(ExportRecord.FromString, _behind_lengths(data))


def _behind_lengths(data):
    at = 0
    while at < len(data):
        length = shift = 0
        while True:
            byte = data[at]
            at += 1
            length |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                break
        yield data[at : at + length]
        at += length
