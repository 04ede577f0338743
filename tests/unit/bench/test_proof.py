"""No failed call passes for a measured one."""

import sys

import pytest

from bench import proof
from bench.driver import DriverFailed, Timing, frame, read_times
from bench.processes import ServerFailed, cores, running
from bench.proof import CallFailed, Tally, prove, read_codes
from bench.scenarios import BURST, CHAT, LOADS, PACED, shortened
from llmproxy_grpc._gen.v1 import chat_pb2

METRICS = """\
# TYPE llmproxy_calls counter
llmproxy_calls_total{code="OK",method="Chat",model="standin/answer"} 41.0
llmproxy_calls_total{code="OK",method="Stream",model="standin/answer"} 1.0
llmproxy_calls_total{code="UNAVAILABLE",method="Chat",model="other"} 2.0
llmproxy_calls_created{code="OK",method="Chat",model="standin/answer"} 1.7e+09
"""


def test_calls_are_summed_up_by_code():
    assert read_codes(METRICS) == {"OK": 42, "UNAVAILABLE": 2}


def test_all_calls_ok_is_proven():
    prove(Tally(5, 4, {"OK": 3, "CANCELLED": 1}), Tally(15, 14, {"OK": 13, "CANCELLED": 1}), 10)


@pytest.mark.parametrize(
    "after",
    [
        Tally(9, 10, {"OK": 10}),
        Tally(11, 10, {"OK": 10}),
        Tally(10, 9, {"OK": 10}),
        Tally(10, 10, {"OK": 9}),
        Tally(10, 10, {"OK": 10, "UNAVAILABLE": 1}),
        Tally(10, 10, {"OK": 9, "INTERNAL": 1}),
        Tally(10, 10, {}),
    ],
)
def test_a_call_that_is_missing_repeated_cut_or_not_ok_fails(after):
    with pytest.raises(CallFailed):
        prove(Tally(0, 0, {}), after, 10)


def test_times_are_seconds_in_order():
    assert read_times("1\t200\t3000\n2\t200\t1000\n", 2) == [0.001, 0.003]


@pytest.mark.parametrize("rows", ["", "1\t200\t5\n", "1\t200\t5\n2\t-1\t5\n", "1\t200\t5\n2\t503\t5\n"])
def test_a_call_that_the_driver_did_not_see_answered_fails(rows):
    with pytest.raises(DriverFailed):
        read_times(rows, 2)


@pytest.mark.parametrize(("share", "expected"), [(0.0, 1.0), (0.5, 50.0), (0.99, 99.0), (1.0, 100.0)])
def test_a_quantile_is_a_latency_that_this_share_stays_within(share, expected):
    assert Timing(wall=1.0, latencies=[float(each) for each in range(1, 101)]).quantile(share) == expected


def test_a_frame_is_the_length_and_the_message():
    flag, length, message = frame(BURST)[0], frame(BURST)[1:5], frame(BURST)[5:]
    assert (flag, int.from_bytes(length, "big")) == (0, len(message))
    assert chat_pb2.StreamRequest.FromString(message).chat.model == "standin/burst-64"
    assert chat_pb2.ChatRequest.FromString(frame(CHAT)[5:]).model == "standin/answer"


@pytest.mark.parametrize("load", LOADS)
def test_a_shortened_load_still_fills_every_place(load):
    short = shortened(load)
    assert load.connections * load.in_flight <= short.calls <= load.calls
    assert short.tokens == load.tokens


def test_the_floor_passes_the_answers_of_the_stand_in_through(tmp_path):
    core, _ = cores()
    stand_in = [sys.executable, "-m", "bench.stand_in"]
    with running(stand_in, core=core, log=tmp_path / "stand_in.log") as provider:
        http = provider.addresses["http"]
        floor = [sys.executable, "-m", "bench.floor", f"http://{http}/v1"]
        with running(floor, core=core, log=tmp_path / "floor.log") as server:
            for load in (CHAT, BURST):
                proof.check(server.addresses["grpc"], load)
            assert server.cpu_seconds() > 0
            assert server.memory_mib() > 1
            with pytest.raises(CallFailed):
                proof.check(f"{server.addresses['grpc']}0", PACED)
        prove(Tally(0, 0), proof.read_tally(http, None), 2)


def test_a_server_that_ends_before_it_is_ready_fails_with_its_words(tmp_path):
    command = [sys.executable, "-c", "import sys; print('grpc 127.0.0.1:1'); sys.exit('no such option')"]
    with pytest.raises(ServerFailed, match="no such option"), running(command, core=cores()[0], log=tmp_path / "log"):
        pass
