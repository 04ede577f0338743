import pytest

from llmproxy_grpc.server.lasting import Lasting
from tests.fakes.clock import FakeClock


class Watched:
    def __init__(self):
        self.clock, self.troubled = FakeClock(), False
        self._lasting = Lasting(lambda: self.troubled, self.clock)

    def counts(self, *, troubled: bool, later: float = 0.0) -> bool:
        self.clock.advance(later)
        self.troubled = troubled
        return self._lasting.look()


@pytest.fixture
def watched():
    return Watched()


def test_trouble_counts_once_it_has_lasted_and_until_it_has_been_gone(watched):
    assert not watched.counts(troubled=True)
    assert not watched.counts(troubled=True, later=9.9)
    assert watched.counts(troubled=True, later=0.2)
    assert watched.counts(troubled=False)
    assert watched.counts(troubled=False, later=4.9)
    assert not watched.counts(troubled=False, later=0.2)


def test_what_flaps_changes_nothing(watched):
    for _ in range(3):
        assert not watched.counts(troubled=True, later=20)
        assert not watched.counts(troubled=False, later=20)
    watched.counts(troubled=True)
    assert watched.counts(troubled=True, later=11)
    for _ in range(3):
        assert watched.counts(troubled=False, later=10)
        assert watched.counts(troubled=True, later=10)
