from functools import partial

from llmproxy_grpc.workers.protocol import Shared
from llmproxy_grpc.workers.shared import MOST_ENTRIES, Retained, SharedTable
from tests.fakes.clock import FakeClock


def test_what_one_publishes_the_others_hear_and_it_does_not():
    tables: list[SharedTable] = []

    def pass_on(sender: int, entry: Shared) -> None:
        tables[1 - sender].receive(entry)

    heard: list[list] = [[], []]
    for number in range(2):
        tables.append(SharedTable(partial(pass_on, number)))
        tables[number].subscribe("circuit/", lambda *entry, number=number: heard[number].append(entry))
    tables[0].publish("circuit/a", b"open", seconds=5)
    tables[0].publish("elsewhere", b"x", seconds=5)
    assert heard == [[], [("circuit/a", b"open", 5)]]


def test_who_subscribes_late_is_told_what_still_holds():
    table = SharedTable(lambda _entry: None)
    table.receive(Shared("a/1", b"x", 60))
    table.receive(Shared("a/2", b"y", -1))
    heard = []
    table.subscribe("a/", lambda key, value, seconds: heard.append((key, value, seconds <= 60)))
    assert heard == [("a/1", b"x", True)]


def test_the_newest_value_of_a_key_holds_and_only_for_its_time():
    clock = FakeClock()
    retained = Retained(clock)
    retained.keep(Shared("a", b"1", 10))
    retained.keep(Shared("b", b"1", 3))
    clock.advance(2)
    retained.keep(Shared("a", b"2", 10))
    clock.advance(4)
    assert retained.all() == (Shared("a", b"2", 6),)


def test_of_more_than_ten_thousand_those_are_forgotten_that_end_the_soonest():
    retained = Retained(FakeClock())
    retained.keep(Shared("what an operator has switched", b"", 30 * 86400))
    for number in range(2 * MOST_ENTRIES):
        retained.keep(Shared(str(number), b"", 60))
        assert len(retained._entries) <= MOST_ENTRIES
    kept = [entry.key for entry in retained.all()]
    assert len(kept) >= MOST_ENTRIES // 2
    assert (kept[0], kept[-1]) == ("what an operator has switched", str(2 * MOST_ENTRIES - 1))
