"""Targets that do worse than the others of their model."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy_grpc.config.schema import BreakerConfig
from llmproxy_grpc.errors import UpstreamServerError
from llmproxy_grpc.routing.breaker import Breaker
from llmproxy_grpc.routing.catalog import Target
from llmproxy_grpc.routing.circuit import Circuit, Credential, Line
from llmproxy_grpc.routing.outliers import Outliers
from tests.fakes.routing import Bench

NOW = 1000.0


class Field:
    """Targets by number, with so many calls of which a share fails."""

    def __init__(self, count: int) -> None:
        self.targets = [Target(f"p{number}", "m") for number in range(count)]
        self.lines = {
            target: Line([Circuit(Breaker(BreakerConfig(), Random(1)), Credential(0))]) for target in self.targets
        }
        self.outliers = Outliers([self.targets], Random(1))

    def sweep(self, *failures: int, calls: int = 100, now: float = NOW) -> list[int]:
        for target, failed in zip(self.targets, failures, strict=True):
            self.lines[target].calls, self.lines[target].failures = calls, failed
        return [int(target.provider[1:]) for target in self.outliers.sweep(self.lines.__getitem__, now)]


@pytest.mark.parametrize(
    ("failures", "ejected"),
    [
        ((0, 0, 20), [2]),
        ((0, 0, 14), []),  # good enough
        ((30, 30, 35), []),  # all are bad
        ((0, 0), []),
        ((0, 50), []),  # two cannot be compared
        ((0, 0, 30, 60), [3]),  # beside that one, the other does not stand out
        ((0, 0, 0, 40, 50, 60), []),  # half of them: no outliers any more
        ((0, 0, 0, 0, 0, 60), [5]),
    ],
)
def test_a_target_that_does_much_worse_than_the_others_is_left_out(failures, ejected):
    assert Field(len(failures)).sweep(*failures) == ejected


def test_few_calls_say_nothing():
    assert Field(3).sweep(0, 0, 19, calls=19) == []


def test_who_is_left_out_again_is_so_for_longer_and_is_forgiven_by_and_by():
    field = Field(3)
    now, spans = NOW, []
    for _ in range(12):
        assert field.sweep(0, 0, 50, now=now) == [2]
        until = field.lines[field.targets[2]].ejected_until
        spans.append(until - now)
        now = until
    for number, span in enumerate(spans, 1):
        assert 0.8 * min(300, 30 * number) <= span <= 1.2 * min(300, 30 * number)
    for _ in range(12):
        assert field.sweep(0, 0, 0, now=now) == []
        now += 10
    assert field.lines[field.targets[2]].ejections == 0


@given(st.lists(st.lists(st.integers(0, 100), min_size=5, max_size=5), max_size=8))
def test_at_least_half_of_the_targets_are_kept(rounds):
    field, now = Field(5), NOW
    for failures in rounds:
        field.sweep(*failures, now=now)
        assert sum(now < line.ejected_until for line in field.lines.values()) <= 2
        now += 10


async def test_calls_go_elsewhere_when_one_of_three_fails_too_often():
    bench = Bench(
        "a",
        "b",
        "c",
        models=[
            {
                "id": "assistant",
                "strategy": "round_robin",
                "targets": [{"provider": name, "model": "m"} for name in ("a", "b", "c")],
            },
        ],
    )
    for number in range(3000):
        if not bench.providers["b"].chats and number % 2:
            bench.providers["b"].chats.append(UpstreamServerError("It failed."))
        await bench.chat()
        bench.clock.advance(0.05)
    assert bench.asked()["b"] < 0.5 * bench.asked()["a"]
