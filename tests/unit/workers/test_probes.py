from datetime import UTC, datetime

import pytest

from llmproxy_grpc.errors import CredentialsRejected, UpstreamServerError
from llmproxy_grpc.health.monitor import Monitor
from llmproxy_grpc.health.tracker import FRESH, HealthTracker
from llmproxy_grpc.workers.probes import share_probes
from llmproxy_grpc.workers.shared import SharedTable
from tests.fakes.clock import FakeClock

INTERVAL = 30.0


class Crew:
    """Workers that watch the provider `a`, each at times of its own."""

    def __init__(self, count):
        self.clock = FakeClock()
        self.probes = []
        self.outcome = None
        self.tables = [SharedTable(lambda entry, sender=number: self.pass_on(entry, sender)) for number in range(count)]
        self.trackers = [HealthTracker(self.clock, lambda: datetime.now(UTC)) for _ in range(count)]
        self.monitors = [self.monitor(number / count) for number in range(count)]
        for parts in zip(self.tables, self.trackers, self.monitors, strict=True):
            share_probes(*parts)

    def monitor(self, chance):
        return Monitor(
            providers=lambda: ["a"],
            last_traffic=lambda _name: None,
            probe=None,
            interval=lambda: INTERVAL,
            clock=self.clock,
            chance=lambda: chance,
        )

    def pass_on(self, entry, sender):
        for number, table in enumerate(self.tables):
            if number != sender:
                table.receive(entry)

    def after(self, seconds):
        for _ in range(seconds):
            for number, monitor in enumerate(self.monitors):
                for name in monitor.due():
                    self.probes.append(self.clock())
                    self.trackers[number].probed(name, self.outcome)
            self.clock.advance(1)


def test_all_together_probe_about_once_an_interval():
    crew = Crew(4)
    crew.after(600)
    assert 600 / INTERVAL * 0.8 <= len(crew.probes) <= 600 / INTERVAL * 1.3


def test_all_know_when_one_has_probed():
    crew = Crew(2)
    assert [tracker.just_probed("a") for tracker in crew.trackers] == [False, False]
    crew.trackers[0].probed("a", None)
    crew.clock.advance(FRESH - 1)
    assert [tracker.just_probed("a") for tracker in crew.trackers] == [True, True]
    crew.clock.advance(1)
    assert [tracker.just_probed("a") for tracker in crew.trackers] == [False, False]


def test_all_learn_what_one_finds_out():
    crew = Crew(4)
    crew.outcome = UpstreamServerError("It failed.")
    crew.after(150)
    assert [tracker.serving("a") for tracker in crew.trackers] == [False] * 4
    crew.outcome = None
    crew.after(100)
    assert [tracker.serving("a") for tracker in crew.trackers] == [True] * 4


@pytest.mark.parametrize("error", [CredentialsRejected("No."), UpstreamServerError("It failed.")])
def test_the_reason_comes_along(error):
    crew = Crew(2)
    crew.trackers[0].probed("a", error)
    assert type(crew.trackers[1].state("a").last_error) is type(error)
