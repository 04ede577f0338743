"""The process that hashes records for near-duplicates."""

import subprocess
from pathlib import Path

from llmproxy_grpc._gen.v1 import chat_pb2
from llmproxy_grpc.export.similarity_process import Sketching
from llmproxy_grpc.records.record import Body
from tests.fakes.exports import message


def test_what_lies_in_the_working_folder_stands_in_for_no_module(tmp_path, monkeypatch):
    for name in ("random", "msgspec", "llmproxy_grpc"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(7)\n")
    monkeypatch.chdir(tmp_path)
    request = chat_pb2.ChatRequest(messages=[message("user", "Where is the tea? In which pot is it today?")])
    with Sketching(lambda: None) as sketching:
        sketches = sketching.sketches([Body(request.SerializeToString(), b""), None])
    assert [bool(each.hashes) for each in sketches] == [True, False]


def test_it_does_not_see_the_providers_keys(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "test-key")
    begun = []
    popen = subprocess.Popen

    def noted(*arguments, **named):
        begun.append(popen(*arguments, **named))
        return begun[-1]

    monkeypatch.setattr(subprocess, "Popen", noted)
    with Sketching(lambda: None) as sketching:
        sketching.sketches([None])
        environ = Path(f"/proc/{begun[0].pid}/environ").read_bytes()
    assert b"PATH=" in environ
    assert b"test-key" not in environ
