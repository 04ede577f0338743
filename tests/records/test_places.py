"""The folder of the records, before anything relies on it."""

import errno
import os

import pytest

from llmproxy_grpc.records.places import Places


def test_a_folder_is_made_for_its_owner_alone_and_nothing_is_left_in_it(tmp_path):
    places = Places(tmp_path / "a" / "records")
    for _ in range(2):
        places.prove()
    assert list(places.folder.iterdir()) == [places.spool]
    assert not list(places.spool.iterdir())
    assert places.folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.EPERM, errno.ENAMETOOLONG])
def test_one_that_cannot_be_written_to_is_named_with_its_key_and_what_to_do(tmp_path, monkeypatch, number):
    monkeypatch.setattr("llmproxy_grpc.records.places.TemporaryFile", failing(number))
    with pytest.raises(OSError, match=r"^records\.directory: cannot write to .*; name a folder") as raised:
        Places(tmp_path).prove()
    assert str(tmp_path) in str(raised.value)
    assert os.strerror(number) in str(raised.value)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_no_fault_of_the_folder(tmp_path, monkeypatch, number):
    monkeypatch.setattr("llmproxy_grpc.records.places.TemporaryFile", failing(number))
    Places(tmp_path).prove()


def test_a_spool_that_is_somebody_elses_is_a_fault(tmp_path):
    (tmp_path / "spool").touch()
    with pytest.raises(OSError, match=r"records\.directory: cannot write to .*spool"):
        Places(tmp_path).prove()


def failing(number):
    def fail(**_where):
        raise OSError(number, os.strerror(number))

    return fail
