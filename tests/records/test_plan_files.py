"""Plans of exports take no more time and room than they are allowed."""

import os
import time

import pytest

from llmproxy_grpc.export.plans import Frozen, Plans
from llmproxy_grpc.export.spec import Choice
from llmproxy_grpc.records import plan_files
from llmproxy_grpc.records.filters import Window
from llmproxy_grpc.records.plan_files import LIFETIME, sweep


def a_plan(folder, name, *, age=0.0, size=1):
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_bytes(b"x" * size)
    used_at = time.time() - age
    os.utime(path, (used_at, used_at))


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_what_nobody_has_used_for_a_day_goes_and_what_a_crash_has_left(tmp_path):
    a_plan(tmp_path, "old.plan", age=LIFETIME + 5)
    a_plan(tmp_path, "left.plan.1", age=LIFETIME + 5)
    a_plan(tmp_path, "used.plan", age=LIFETIME - 60)
    a_plan(tmp_path, "made.plan.2")
    a_plan(tmp_path, "another", age=LIFETIME + 5)
    sweep(tmp_path)
    assert names(tmp_path) == ["another", "made.plan.2", "used.plan"]


def test_a_folder_that_is_not_there_has_no_plans(tmp_path):
    sweep(tmp_path / "plans")
    assert not (tmp_path / "plans").exists()


def test_of_too_many_plans_those_unused_the_longest_go(tmp_path, monkeypatch):
    monkeypatch.setattr(plan_files, "MOST_FILES", 3)
    for age in range(6):
        a_plan(tmp_path, f"{age}.plan", age=age * 10)
    a_plan(tmp_path, "being-made.plan.1", age=100)
    sweep(tmp_path)
    assert names(tmp_path) == ["0.plan", "1.plan", "2.plan", "being-made.plan.1"]


@pytest.mark.parametrize(("most", "left"), [(350, 3), (300, 3), (299, 2), (100, 1), (1, 1)])
def test_of_plans_that_are_too_large_the_one_used_last_stays(tmp_path, monkeypatch, most, left):
    monkeypatch.setattr(plan_files, "MOST_BYTES", most)
    for age in range(4):
        a_plan(tmp_path, f"{age}.plan", age=age * 10, size=100)
    sweep(tmp_path)
    assert names(tmp_path) == [f"{age}.plan" for age in range(left)]


def test_who_makes_plan_after_plan_does_not_fill_the_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(plan_files, "MOST_FILES", 5)
    plans = Plans(tmp_path / "plans", b"k" * 32)
    for number in range(40):
        with plans.writing(str(number)) as writer:
            writer.freeze(Frozen(choice=Choice(), window=Window("default", 0, number, 0), listed=False))
    assert len(names(tmp_path / "plans")) <= 6


def test_a_plan_is_its_owners_alone_before_anything_is_in_it(tmp_path):
    folder = tmp_path / "plans"
    before = os.umask(0)
    try:
        with Plans(folder, b"k" * 32).writing("one") as writer:
            assert [path.stat().st_mode & 0o777 for path in folder.iterdir()] == [0o600]
            writer.freeze(Frozen(choice=Choice(), window=Window("default", 0, 0, 0), listed=False))
    finally:
        os.umask(before)
    assert (folder / "one.plan").stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700
