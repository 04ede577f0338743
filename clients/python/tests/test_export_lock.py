"""Two exports never write into one folder."""

import fcntl
from contextlib import ExitStack

import pytest

from llmproxy_client import FolderInUse
from llmproxy_client.dataset import Download
from llmproxy_client.v1.export_pb2 import ExportRequest


def test_two_exports_do_not_share_a_folder(folder):
    with Download(ExportRequest(), folder), pytest.raises(FolderInUse, match="another process"):
        Download(ExportRequest(), folder)
    with Download(ExportRequest(), folder):
        pass


def test_a_lock_whose_file_was_removed_meanwhile_is_none(folder, monkeypatch):
    first = ExitStack()
    first.enter_context(Download(ExportRequest(), folder))
    flock = fcntl.flock

    def flock_of_the_next(file, how):  # which opened the file just before the first ended
        first.close()
        flock(file, how)

    with monkeypatch.context() as patch:
        patch.setattr(fcntl, "flock", flock_of_the_next)
        second = Download(ExportRequest(), folder)
    with second, pytest.raises(FolderInUse, match="another process"):
        Download(ExportRequest(), folder)
