"""Frames: whatever is cut off or damaged, the whole ones are found, and nothing else is."""

from hypothesis import given
from hypothesis import strategies as st

from llmproxy_grpc.records.spool.frames import HEAD_BYTES, Scan, Tail, frame, length_at

PAYLOADS = st.lists(st.binary(min_size=1, max_size=60), max_size=6)


def read(data: bytes) -> tuple[list[bytes | None], Tail, int]:
    scan = Scan(data)
    found = [each.payload for each in scan]
    return found, scan.tail, scan.end


@given(PAYLOADS)
def test_what_was_written_is_read(payloads):
    data = b"".join(map(frame, payloads))
    assert read(data) == (payloads, Tail.NOTHING, len(data))


def test_every_cut_leaves_the_whole_frames_before_it():
    payloads = [b"a", b"bb" * 20, b"ccc" * 50, b"d" * 9]
    frames = list(map(frame, payloads))
    data = b"".join(frames)
    ends = [sum(map(len, frames[:count])) for count in range(len(frames) + 1)]
    for cut in range(len(data) + 1):
        whole = max(index for index, end in enumerate(ends) if end <= cut)
        tail = Tail.NOTHING if cut in ends else Tail.PARTIAL
        assert read(data[:cut]) == (payloads[:whole], tail, ends[whole])


@given(PAYLOADS.filter(bool), st.data())
def test_a_bit_that_has_turned_is_never_read_as_a_frame(payloads, data):
    whole = bytearray(b"".join(map(frame, payloads)))
    place = data.draw(st.integers(0, len(whole) * 8 - 1))
    whole[place // 8] ^= 1 << place % 8
    found, _, _ = read(bytes(whole))
    sound = [each for each in found if each is not None]
    assert len(sound) < len(payloads)
    assert all(each in payloads for each in sound)


def test_zeros_as_a_power_cut_leaves_them_are_no_frames():
    data = frame(b"one") + bytes(4096)
    assert read(data) == ([b"one"], Tail.DAMAGED, len(frame(b"one")))


def test_a_frame_of_another_version_does_not_pass():
    other = bytearray(frame(b"one"))
    other[HEAD_BYTES - 1] = 2
    assert read(bytes(other) + frame(b"two"))[0] == [None, b"two"]


def test_the_length_of_a_frame_is_told_by_its_head():
    assert length_at(frame(b"abc")) == len(frame(b"abc"))
    assert length_at(b"abc") is None
    assert length_at(bytes(HEAD_BYTES)) is None
    assert length_at(b"\xff" * HEAD_BYTES) is None
