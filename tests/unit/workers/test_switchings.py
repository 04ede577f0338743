from datetime import UTC, datetime, timedelta

from llmproxy_grpc.health.switchboard import Switch, Switchboard, Switching
from llmproxy_grpc.workers.shared import SharedTable
from llmproxy_grpc.workers.switchings import share_switchings

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
OFF = Switching("a", Switch.DISABLED, "too slow", NOON)


def board(state: Switch = Switch.ENABLED) -> Switchboard:
    switchboard = Switchboard()
    switchboard.configure({"a": state})
    return switchboard


def switched(by: Switchboard, switching: Switching, to: Switchboard, *, late: bool = False) -> None:
    """What an operator switches in one worker, and another that hears of it, or starts later."""
    sent = []
    share_switchings(SharedTable(sent.append), by)(switching)
    table = SharedTable(lambda _: None)
    if not late:
        share_switchings(table, to)
    table.receive(*sent)
    if late:
        share_switchings(table, to)


def test_what_is_switched_in_one_worker_is_switched_in_all():
    other = board()
    switched(board(), OFF, other)
    assert not other.admits("a")
    assert other.setting("a").switching == OFF


def test_a_worker_that_starts_later_catches_up():
    late = board()
    switched(board(), OFF, late, late=True)
    assert not late.admits("a")


def test_what_the_configuration_says_anew_holds_against_what_was_switched_before():
    reloaded = board(Switch.DRAINING)
    switched(board(), Switching("a", Switch.ENABLED, "", NOON), reloaded, late=True)
    assert not reloaded.admits("a")


def test_the_later_of_two_switchings_holds():
    other = board()
    other.switch(Switching("a", Switch.ENABLED, "", NOON + timedelta(seconds=1)))
    switched(board(), OFF, other)
    assert other.admits("a")
