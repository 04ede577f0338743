"""Messages of lines are cut at places that depend on the records alone, not on how many come at once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy_grpc.export import assembly
from llmproxy_grpc.export.assembly import Assembler
from llmproxy_grpc.export.output import Piece
from llmproxy_grpc.export.picks import Pick
from llmproxy_grpc.export.progress import FileState, Progress
from llmproxy_grpc.export.rendering import Line
from llmproxy_grpc.export.spec import Compression, Part
from llmproxy_grpc.export.tally import Tally

LINE = st.tuples(
    st.integers(1, 60), st.sampled_from([Part.ALL, Part.TRAIN, Part.VALIDATION]), st.sampled_from([{}, {"email": 2}])
)


def cut(records, runs, head):
    """The pieces of some lines that come in runs of the lengths given, the last of them repeated, and the tally."""
    tally = Tally(Progress(), counts_matches=True)
    assembler = Assembler(
        tally, chunk_bytes=100, compression=Compression.NONE, file=FileState(), sent=assembly.sha256(), head=head
    )
    start, lengths, out = 0, list(runs), []
    while start < len(records):
        length = lengths.pop(0) if len(lengths) > 1 else lengths[0]
        some = records[start : start + length]
        assembler.extend([pick for pick, _ in some], [line for _, line in some])
        out += assembler.take()
        start += length
    assembler.close()
    return [plain(piece) for piece in out + assembler.take()], tally.progress(FileState())


def plain(piece: Piece):
    return piece.payload, piece.progress, sorted(piece.seqs)


@given(
    st.lists(LINE, max_size=60), st.lists(st.integers(1, 30), min_size=1, max_size=8), st.sampled_from([b"", b"a,b\n"])
)
def test_any_runs_give_the_same_messages_as_one_record_at_a_time(lines, runs, head):
    kept, assembly.FILE_BYTES = assembly.FILE_BYTES, 400
    try:
        lines.sort(key=lambda line: line[1])
        records = [
            (Pick(number, number + 7, size, part), Line(b"%059d\n" % number if size > 59 else b"x" * size, hidden))
            for number, (size, part, hidden) in enumerate(lines, 1)
        ]
        assert cut(records, runs, head) == cut(records, [1], head)
    finally:
        assembly.FILE_BYTES = kept


def test_a_line_larger_than_a_chunk_is_a_chunk_of_its_own():
    sizes = [10, 250, 10, 90, 1]
    records = [(Pick(number, number, size), Line(b"x" * size)) for number, size in enumerate(sizes, 1)]
    pieces, progress = cut(records, [5], b"")
    assert [payload.records for payload, _, _ in pieces[:-1]] == [1, 1, 2, 1]
    assert progress.written == progress.selected == progress.matched == 5
    assert pieces[-1][0].records == 5


@pytest.mark.parametrize(("size", "ended"), [(399, False), (400, True), (401, True)])
def test_a_file_whose_last_chunk_has_left_ends_first_when_the_export_goes_on(monkeypatch, size, ended):
    monkeypatch.setattr(assembly, "FILE_BYTES", 400)
    file = FileState(index=2, records=4, size=size, start=3)
    tally = Tally(Progress(cursor=7, files=2), counts_matches=True)
    assembler = Assembler(
        tally, chunk_bytes=100, compression=Compression.NONE, file=file, sent=assembly.sha256(), head=b""
    )
    pieces = [piece.payload for piece in assembler.take()]
    assert [(piece.index, piece.size) for piece in pieces] == [(2, size)] * ended


def test_a_message_tells_both_records_of_a_pair():
    """Of either something leaves, so that an erasure of either takes the message back."""
    [piece, _], _ = cut([(Pick(1, 8, 5, rejected=3), Line(b"line\n")), (Pick(2, 9, 5), Line(b"line\n"))], [2], b"")
    assert piece[2] == [3, 8, 9]


def test_nothing_gives_nothing():
    assert cut([], [1], b"a,b\n") == ([], Progress())
