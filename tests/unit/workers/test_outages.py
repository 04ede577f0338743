import time

import pytest

from llmproxy_grpc.config.schema import ProviderConfig
from llmproxy_grpc.routing.outage import Outage, OutageKind
from llmproxy_grpc.workers.outages import Outages
from llmproxy_grpc.workers.protocol import Shared
from llmproxy_grpc.workers.shared import Retained, SharedTable


class Crew:
    """Workers that know the provider `a`; what they publish is kept for those that start later."""

    def __init__(self) -> None:
        self.retained = Retained()
        self.workers: list[Worker] = []

    def start(self, key: str = "key-one") -> "Worker":
        """A worker whose provider has this key."""
        worker = Worker(self, key)
        for entry in self.retained.all():
            worker.table.receive(entry)
        self.workers.append(worker)
        worker.outages.follow()
        return worker

    def publish(self, sender: "Worker", entry: Shared) -> None:
        self.retained.keep(entry)
        for worker in self.workers:
            if worker is not sender:
                worker.table.receive(entry)


class Worker:
    def __init__(self, crew: Crew, key: str) -> None:
        self.learned: list[Outage] = []
        self.table = SharedTable(lambda entry: crew.publish(self, entry))
        provider = ProviderConfig.model_validate({"name": "a", "kind": "openai", "api_key": key})
        self.outages = Outages(self.table, lambda: {"a": provider}, self.learned.append)


def outage(kind: OutageKind, *, seconds: float = 30.0, model: str = "m", credential: int = 0) -> Outage:
    return Outage(kind, "a", model, credential, time.monotonic() + seconds)


@pytest.mark.parametrize("kind", OutageKind)
def test_every_kind_of_outage_reaches_the_others_whole_and_not_its_teller(kind):
    crew = Crew()
    teller, others = crew.start(), [crew.start(), crew.start()]
    news = outage(kind)
    teller.outages.tell(news)
    assert [worker.learned for worker in others] == [[news], [news]]
    assert teller.learned == []


@pytest.mark.parametrize("kind", OutageKind)
def test_a_worker_that_starts_late_learns_what_still_holds(kind):
    crew = Crew()
    news = outage(kind, seconds=300)
    crew.start().outages.tell(news)
    late = crew.start()
    assert late.learned == [news]
    (kept,) = crew.retained.all()
    assert kept.seconds == pytest.approx(300, abs=5)


def test_news_of_a_moment_are_kept_for_a_minute():
    crew = Crew()
    crew.start().outages.tell(outage(OutageKind.CLOSED, seconds=0))
    (kept,) = crew.retained.all()
    assert kept.seconds == pytest.approx(60, abs=5)


def test_a_late_worker_learns_that_a_circuit_is_closed_and_nothing_of_its_outage_before():
    crew = Crew()
    teller = crew.start()
    for kind in (OutageKind.OPEN, OutageKind.CLOSED):
        teller.outages.tell(outage(kind))
    assert [news.kind for news in crew.start().learned] == [OutageKind.CLOSED]


def test_a_late_worker_learns_that_a_credential_is_taken_again_and_nothing_of_its_bench():
    crew = Crew()
    teller = crew.start()
    for kind in (OutageKind.BENCHED, OutageKind.REINSTATED):
        teller.outages.tell(outage(kind, model=""))
    assert [news.kind for news in crew.start().learned] == [OutageKind.REINSTATED]


def test_news_of_other_kinds_models_and_credentials_stand_beside_each_other():
    crew = Crew()
    teller = crew.start()
    told = [
        outage(OutageKind.OPEN),
        outage(OutageKind.RESTING),
        outage(OutageKind.OPEN, model="other"),
        outage(OutageKind.OPEN, credential=1),
        outage(OutageKind.BENCHED, model=""),
        outage(OutageKind.BENCHED),
        outage(OutageKind.EJECTED, credential=-1),
    ]
    for news in told:
        teller.outages.tell(news)
    assert crew.start().learned == told


def test_where_the_provider_has_another_key_the_news_say_nothing():
    crew = Crew()
    teller, reloaded = crew.start(), crew.start("key-two")
    teller.outages.tell(outage(OutageKind.BENCHED))
    assert reloaded.learned == []
    assert crew.start("key-two").learned == []
    assert [news.kind for news in crew.start().learned] == [OutageKind.BENCHED]


def test_the_key_itself_is_not_told():
    crew = Crew()
    crew.start("key-one").outages.tell(outage(OutageKind.OPEN))
    assert all(b"key-one" not in entry.value for entry in crew.retained.all())


def test_a_provider_that_is_not_configured_is_neither_told_of_nor_learned():
    crew = Crew()
    teller, other = crew.start(), crew.start()
    teller.outages.tell(Outage(OutageKind.OPEN, "gone", "m", 0, time.monotonic() + 30))
    assert crew.retained.all() == ()
    assert other.learned == []
