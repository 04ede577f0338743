"""The sampler says where the time goes."""

import subprocess
import sys

from bench.sampler import Sampler


def callee(sampler):
    sampler.sample(0, sys._getframe())


def recursive(sampler, depth):
    if depth:
        recursive(sampler, depth - 1)
    else:
        callee(sampler)


def test_a_sample_counts_once_for_each_function_however_often_it_is_on_the_stack():
    sampler = Sampler()
    recursive(sampler, 5)
    rows = {line.split()[2]: line.split()[:2] for line in sampler.lines() if line.endswith(")")}
    assert rows["callee"] == ["100.0%", "100.0%"]
    assert rows["recursive"] == ["0.0%", "100.0%"]


def test_no_sample_gives_an_empty_table():
    assert next(Sampler().lines()) == "0 samples"


def test_the_shares_are_written_though_the_module_fails(tmp_path):
    target = tmp_path / "shares"
    command = [sys.executable, "-m", "bench.sampler", str(target), "bench.no_such_module"]
    assert subprocess.run(command, check=False, capture_output=True, timeout=20).returncode == 1
    assert target.read_text().startswith("0 samples")
