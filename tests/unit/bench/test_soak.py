"""What the soak finds in what it has seen."""

import random

from bench.soak import Callers, Look, faults


def seen(**different):
    values = {"at": 0.0, "memory": 80.0, "files": 20, "tasks": 10, "in_flight": 0}
    return Look(**{**values, **different})


def found(*looks, hung=0, unexpected=None, left=20):
    callers = Callers("127.0.0.1:1", 40, random.Random(1))
    callers.outcomes.update({"OK": 50, "CANCELLED": left, "UNAVAILABLE/UPSTREAM_TIMEOUT": 50 - left})
    callers.hung = hung
    callers.unexpected.update(unexpected or {})
    return list(faults(looks, callers, 100))


def test_a_quiet_end_as_at_the_start_is_fine():
    assert found(seen(), seen(at=30, memory=90), seen(at=105, memory=95, files=60, tasks=12)) == []


def test_what_hangs_grows_or_stays_is_named():
    looks = seen(), seen(at=30, memory=90), seen(at=105, memory=101, files=90, tasks=20, in_flight=2)
    assert found(*looks, hung=1, unexpected={"INTERNAL": 3}) == [
        "1 calls hung",
        "3 calls ended INTERNAL",
        "the memory grew from 90 to 101 MiB",
        "2 calls are still in flight",
        "10 tasks are left over",
        "70 more files are open than before",
    ]


def test_a_load_that_says_nothing_is_named():
    assert found(seen(), left=14) == ["only 14% of the calls were left by their callers"]
    callers = Callers("127.0.0.1:1", 40, random.Random(1))
    callers.outcomes.update({"OK": 49, "CANCELLED": 20, "UNAVAILABLE/NO_PROVIDER_AVAILABLE": 31})
    assert list(faults([seen()], callers, 100)) == ["only 49% of the calls were answered"]
