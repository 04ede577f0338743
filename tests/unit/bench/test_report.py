"""The table says what was measured, and no more."""

from bench.driver import Timing
from bench.measure import Memory, Round
from bench.report import load_rows, memory_rows, start_row, table
from bench.scenarios import BURST, CHAT


def rounds(*cpu):
    timing = Timing(wall=2.0, latencies=[0.001, 0.002, 0.003])
    return [Round(calls=1000, cpu=each, timing=timing) for each in cpu]


def first_row(load, **measured):
    return next(load_rows(load, measured))


def test_the_ratio_is_the_median_of_rounds_beside_each_other():
    row = first_row(CHAT, floor=rounds(1.0, 2.0, 4.0), proxy=rounds(1.5, 3.2, 6.4))
    assert row.ratio == 1.6
    assert row.met is True
    assert (row.floor, row.proxy) == ("2000", "3200")


def test_a_ratio_above_the_target_is_missed():
    row = first_row(BURST, floor=rounds(1.0), proxy=rounds(0.51))
    assert row.met is False
    assert "missed" in table([row])


def test_one_server_alone_has_no_ratio_and_no_verdict():
    row = first_row(CHAT, floor=rounds(1.0))
    assert (row.ratio, row.met, row.proxy) == (None, None, None)


def test_a_stream_is_told_by_the_token_first():
    rows = list(load_rows(BURST, {"floor": rounds(0.64)}))
    assert (rows[0].floor, rows[1].floor) == ("10.0", "640")
    assert [(row.title, row.floor) for row in rows[2:]] == [
        ("calls a second", "500"),
        ("p50, ms", "2.0"),
        ("p99, ms", "3.0"),
    ]


def test_limits_hold_for_the_proxy_alone():
    assert start_row({"floor": 9.0, "proxy": 1.5}).met is True
    idle, streams = memory_rows({"floor": Memory(idle=50, streams=90), "proxy": Memory(idle=101, streams=60)})
    assert (idle.met, streams.met) == (False, True)
    assert start_row({"floor": 9.0}).met is None


def test_the_table_is_markdown_with_one_line_a_row():
    lines = table(list(load_rows(CHAT, {"floor": rounds(1.0), "proxy": rounds(1.0)}))).splitlines()
    assert len(lines) == 7
    assert len({line.count("|") for line in lines}) == 1
