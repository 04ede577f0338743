"""A worker's spool: what is written, what is dropped and counted, and who is told."""

import errno
import os
import threading
from pathlib import Path
from typing import Self

import pytest

from llmproxy_grpc.records.codec import bare
from llmproxy_grpc.records.spool import keeper, writer
from llmproxy_grpc.records.spool.entries import Began, Ended, decode, encode
from llmproxy_grpc.records.spool.reading import read_portion
from llmproxy_grpc.records.spool.room import Room, bound, room
from llmproxy_grpc.records.spool.segment_file import SegmentFile
from llmproxy_grpc.records.spool.segments import (
    ask_to_renew,
    is_complete,
    segments,
    worker_name,
    workers,
)
from llmproxy_grpc.records.spool.writer import Offer, SpoolWriter
from llmproxy_grpc.records.tally import Loss, Tally
from tests.fakes.polling import until
from tests.fakes.spooled import a_begin, an_end, new_id


class Told:
    """Who was told what."""

    def __init__(self) -> None:
        self.all: list[tuple[object, bool]] = []
        self._changed = threading.Condition()

    def __call__(self, waiters, written):
        with self._changed:
            self.all += [(waiter, written) for waiter in waiters]
            self._changed.notify_all()

    def wait(self, count: int = 1) -> list[tuple[object, bool]]:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.all) >= count, timeout=10)
            return self.all


class Spooling:
    """A spool that a test writes to."""

    def __init__(self, folder: Path, **different) -> None:
        self.folder = folder
        self.tally, self.told = Tally(), Told()
        settings = {"durable": False, "bare": bare, "tell": self.told, **different}
        self.writer = SpoolWriter(folder, 7, self.tally, **settings)

    def __enter__(self) -> Self:
        self.writer.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.writer.close()

    def put(self, *said) -> None:
        self.writer.put([Offer(each, each.id, getattr(each, "size", 0)) for each in said])

    def said(self) -> list:
        found = []
        for segment in segments(self.folder):
            found += [decode(payload) for payload in read_portion(segment, 0, 10**9).payloads]
        return found


def raising(number: int):
    def fail(*_arguments, **_named):
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize("durable", [False, True])
def test_what_is_put_is_written_before_anybody_is_told(tmp_path, durable):
    ends = [an_end(text="x" * size) for size in (0, 100, 100_000)]
    with Spooling(tmp_path / "spool", durable=durable) as spool:
        spool.put(a_begin(ends[0].id), *ends)
        assert [(waiter, written) for waiter, written in spool.told.wait(4)] == [
            (ends[0].id, True),
            *((end.id, True) for end in ends),
        ]
        assert [type(said) for said in spool.said()] == [Began, Ended, Ended, Ended]
        assert spool.said()[1:] == [decode(encode(end)) for end in ends]


def test_files_are_for_their_owner_alone_and_say_whose_they_are(tmp_path):
    folder = tmp_path / "made" / "spool"
    with Spooling(folder) as spool:
        spool.put(an_end())
        spool.told.wait()
        [segment] = segments(folder)
        assert segment.worker.startswith("007-")
        assert not is_complete(segment.path)
        assert workers(folder) == {segment.worker: True}
        assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
        assert folder.stat().st_mode & 0o777 == 0o700
    assert is_complete(segment.path)
    assert workers(folder) == {}


def test_a_segment_that_is_full_is_followed_by_another(tmp_path):
    with Spooling(tmp_path / "spool", segment_bytes=2_000) as spool:
        ends = [an_end(text="x" * 900) for _ in range(6)]
        for number, end in enumerate(ends, 1):
            spool.put(end)
            spool.told.wait(number)
        assert len(segments(tmp_path / "spool")) == 3
        assert [said.id for said in spool.said()] == [end.id for end in ends]


async def test_a_segment_is_renewed_when_somebody_asks(tmp_path, monkeypatch):
    monkeypatch.setattr(keeper, "EVERY", 0.02)
    with Spooling(tmp_path / "spool") as spool:
        spool.put(an_end())
        spool.told.wait()
        [segment] = segments(tmp_path / "spool")
        ask_to_renew(tmp_path / "spool")
        await until(lambda: is_complete(segment.path))
        spool.put(an_end())
        spool.told.wait(2)
        assert len(segments(tmp_path / "spool")) == 2


async def test_a_segment_that_is_old_is_renewed(tmp_path, monkeypatch):
    monkeypatch.setattr(keeper, "EVERY", 0.02)
    monkeypatch.setattr(keeper, "OLDEST", 0.05)
    with Spooling(tmp_path / "spool") as spool:
        spool.put(an_end())
        spool.told.wait()
        [segment] = segments(tmp_path / "spool")
        await until(lambda: is_complete(segment.path))


async def test_a_disk_that_cannot_be_looked_at_does_not_end_the_looking(tmp_path, monkeypatch):
    """Whoever syncs segments and lets go of them is needed again when it can be."""
    monkeypatch.setattr(keeper, "EVERY", 0.02)
    with Spooling(tmp_path / "spool") as spool:
        looks = []

        def cannot_tell():
            looks.append(None)
            raise PermissionError(errno.EACCES, "not now")

        with monkeypatch.context() as broken:
            broken.setattr(spool.writer._keeper, "_shows", cannot_tell)
            await until(lambda: len(looks) >= 2)
        spool.put(an_end())
        spool.told.wait()
        ask_to_renew(spool.folder)
        await until(lambda: all(is_complete(each.path) for each in segments(spool.folder)))


async def test_a_spool_that_somebody_takes_away_begins_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(keeper, "EVERY", 0.02)
    folder = tmp_path / "spool"
    with Spooling(folder) as spool:
        spool.put(an_end())
        spool.told.wait()
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()

        def written():
            spool.put(an_end())
            return bool(segments(folder))

        await until(written)
        assert len(workers(folder)) == 1


def test_a_spool_that_cannot_be_made_loses_frames_counts_them_and_heals(tmp_path):
    place = tmp_path / "place"
    place.write_text("in the way")
    with Spooling(place / "spool") as spool:
        spool.put(an_end(), a_begin(new_id()))
        assert [written for _, written in spool.told.wait(2)] == [False, False]
        assert spool.tally.dropped == {Loss.SPOOL_FAILED: 1}
        assert not spool.writer.sound
        place.unlink()
        spool.put(an_end())
        assert spool.told.wait(3)[-1][1]
        assert spool.writer.sound


async def test_a_place_that_takes_no_file_is_not_sound_for_all_its_room(tmp_path, monkeypatch):
    monkeypatch.setattr(keeper, "EVERY", 0.02)
    looks: list[bool] = []
    with Spooling(tmp_path / "spool", durable=True) as spool:
        spool.put(an_end())
        spool.told.wait()
        with monkeypatch.context() as broken:
            broken.setattr(SegmentFile, "append", raising(errno.EFBIG))
            broken.setattr(keeper, "TemporaryFile", raising(errno.EFBIG))
            broken.setattr(keeper, "spool_bytes", lambda _folder: looks.append(spool.writer.sound) or 0)
            spool.put(an_end())
            assert not spool.told.wait(2)[1][1]
            looks.clear()
            await until(lambda: len(looks) > 3)
            assert not any(looks)
        await until(lambda: spool.writer.sound)


async def test_a_folder_that_could_not_be_made_is_found_sound_without_a_call(tmp_path, monkeypatch):
    """Calls that promise durable records are refused until it is, so none of them would ever find out."""
    monkeypatch.setattr(keeper, "EVERY", 0.02)
    place = tmp_path / "place"
    place.write_text("in the way")
    with Spooling(place / "spool", durable=True) as spool:
        spool.put(an_end())
        spool.told.wait()
        assert not spool.writer.sound
        place.unlink()
        await until(lambda: spool.writer.sound)


def test_a_file_that_may_not_grow_any_more_is_followed_by_another(tmp_path, monkeypatch):
    really = SegmentFile.append

    def append(self, data):
        if self.size + len(data) > 3_000:
            raise OSError(errno.EFBIG, "too large")
        really(self, data)

    monkeypatch.setattr(SegmentFile, "append", append)
    with Spooling(tmp_path / "spool") as spool:
        ends = [an_end(text="x" * 900) for _ in range(6)]
        for number, end in enumerate(ends, 1):
            spool.put(end)
            spool.told.wait(number)
        assert len(segments(spool.folder)) == 3
        assert [(said.id, bool(said.request)) for said in spool.said()] == [(end.id, True) for end in ends]
        assert spool.writer.sound


def test_on_a_full_disk_figures_are_kept_as_long_as_they_fit(tmp_path, monkeypatch):
    really = SegmentFile.append

    def append(self, data):
        if len(data) > 2_000:
            raise OSError(errno.ENOSPC, "full")
        really(self, data)

    monkeypatch.setattr(SegmentFile, "append", append)
    with Spooling(tmp_path / "spool") as spool:
        spool.put(an_end(text="secret " * 1000, end_user_id="ann", labels={"k": "v"}))
        assert spool.told.wait() == [(spool.told.all[0][0], True)]
        [said] = spool.said()
    assert (said.request, said.end_user, said.labels, said.data_policy) == (b"", "ann", {"k": "v"}, 1)
    assert (spool.tally.bare, spool.tally.dropped.total()) == (1, 0)


def test_on_a_disk_that_is_quite_full_records_are_dropped_and_counted(tmp_path, monkeypatch):
    def append(self, data):
        raise OSError(errno.ENOSPC, "full")

    with Spooling(tmp_path / "spool") as spool:
        with monkeypatch.context() as patch:
            patch.setattr(SegmentFile, "append", append)
            spool.put(an_end(), an_end())
            assert [written for _, written in spool.told.wait(2)] == [False, False]
            assert spool.tally.dropped == {Loss.DISK_FULL: 2}
        spool.put(an_end())
        assert spool.told.wait(3)[-1][1]
        assert len(spool.said()) == 1


def test_a_write_that_breaks_off_leaves_no_part_of_a_frame(tmp_path, monkeypatch):
    segment = SegmentFile(tmp_path, worker_name(0), 1)
    segment.append(b"whole")
    really, times = os.write, []

    def write(descriptor, data):
        times.append(len(data))
        if len(times) > 1:
            raise OSError(errno.ENOSPC, "full")
        return really(descriptor, bytes(data)[:3])

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", write)
        with pytest.raises(OSError, match="full"):
            segment.append(b"broken off")
    segment.append(b" again")
    segment.close()
    assert next(tmp_path.glob("*.spool")).read_bytes() == b"whole again"


def test_nothing_is_appended_behind_part_of_a_frame_that_stays(tmp_path, monkeypatch):
    really, faults = os.write, iter(["part", "error"])

    def write(descriptor, data):
        fault = next(faults, None)
        if fault == "error":
            raise OSError(errno.EIO, "broken")
        return really(descriptor, bytes(data)[:10] if fault == "part" else data)

    def truncate(_descriptor, _size):
        raise OSError(errno.EIO, "broken")

    with Spooling(tmp_path / "spool") as spool, monkeypatch.context() as patch:
        patch.setattr(os, "write", write)
        patch.setattr(os, "ftruncate", truncate)
        spool.put(an_end())
        spool.told.wait()
        spool.put(an_end())
        spool.told.wait(2)
        assert [len(read_portion(each, 0).payloads) for each in segments(spool.folder)] == [0, 2]
    assert spool.tally.dropped == {}


def test_what_may_not_have_reached_the_disk_is_written_again_elsewhere(tmp_path, monkeypatch):
    """A disk that failed once may say the next time that all is well, though what failed is lost."""
    really, failed = os.fdatasync, []

    def fdatasync(descriptor):
        if not failed:
            failed.append(descriptor)
            raise OSError(errno.EIO, "broken")
        really(descriptor)

    end = an_end()
    with Spooling(tmp_path / "spool", durable=True) as spool, monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", fdatasync)
        spool.put(end)
        assert spool.told.wait() == [(end.id, True)]
        contents = [[decode(payload) for payload in read_portion(each, 0).payloads] for each in segments(spool.folder)]
        assert [[said.id for said in content] for content in contents] == [[end.id], [end.id]]


def test_what_does_not_fit_into_memory_loses_content_first_and_is_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(writer, "MOST_FRAMES", 3)
    monkeypatch.setattr(writer, "MOST_BYTES", 10)
    spool = Spooling(tmp_path / "spool")  # nothing takes what is put, until it starts
    spool.put(an_end())
    spool.put(an_end(), an_end())
    spool.put(an_end())
    assert spool.told.all == [(spool.told.all[0][0], False)]
    assert spool.tally.dropped == {Loss.QUEUE_FULL: 1}
    with spool:
        spool.told.wait(4)
        assert [bool(said.request) for said in spool.said()] == [True, False, False]


@pytest.mark.parametrize(("space", "kept", "bare_"), [(Room.ENOUGH, 1, 0), (Room.TIGHT, 1, 1), (Room.NONE, 0, 0)])
def test_a_spool_that_grows_too_large_keeps_less(tmp_path, monkeypatch, space, kept, bare_):
    monkeypatch.setattr(keeper, "room", lambda used, allowed: space)
    told: list[tuple[str, int]] = []
    with Spooling(tmp_path / "spool") as spool:
        spool.tally.watch(lambda state, _reason, count: told.append((state, count)))
        spool.writer._keeper._allowed = 1
        assert spool.writer.sound is (space is Room.ENOUGH)
        spool.put(an_end())
        assert spool.told.wait()[0][1] is bool(kept)
        assert len(spool.said()) == kept
    assert spool.tally.states()["bare"] == bare_
    assert told.count(("bare", 1)) == bare_
    assert spool.tally.dropped.total() == 1 - kept


def test_the_room_of_a_spool():
    assert [room(used, 100) for used in (0, 79, 80, 99, 100, 101)] == [
        Room.ENOUGH,
        Room.ENOUGH,
        Room.TIGHT,
        Room.TIGHT,
        Room.NONE,
        Room.NONE,
    ]


def test_the_bound_is_a_fifth_of_the_disk_at_most(tmp_path):
    disk = os.statvfs(tmp_path)
    assert bound(tmp_path, 10**18) == int(disk.f_frsize * disk.f_blocks * 0.2)
    assert bound(tmp_path, 5) == 5


def test_a_frame_that_cannot_be_written_down_stops_nobody(tmp_path):
    odd = an_end(provider=object())
    with Spooling(tmp_path / "spool") as spool:
        spool.put(an_end(), odd, an_end())
        assert sorted(written for _, written in spool.told.wait(3)) == [False, True, True]
        assert (odd.id, False) in spool.told.all
    assert spool.tally.dropped == {Loss.SPOOL_FAILED: 1}


def test_what_never_had_content_keeps_what_is_told_of_it():
    ended = an_end(request=b"", response=b"", end_user="alice", labels={"a": "b"})
    assert bare(ended) == ended
