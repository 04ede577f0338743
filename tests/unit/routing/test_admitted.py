import pytest

from llmproxy_grpc.errors import NoProviderAvailable
from llmproxy_grpc.routing.admitted import admitted
from llmproxy_grpc.routing.candidate import Candidate
from llmproxy_grpc.routing.catalog import Target

CANDIDATES = [Candidate(Target(name, "m"), None, None) for name in ("b", "a", "c", "a")]


def test_the_order_stays():
    assert admitted(CANDIDATES, lambda _name: True) == CANDIDATES
    assert [each.target.provider for each in admitted(CANDIDATES, lambda name: name != "a")] == ["b", "c"]


def test_if_none_is_left_the_error_names_each_once():
    with pytest.raises(NoProviderAvailable) as raised:
        admitted(CANDIDATES, lambda _name: False)
    assert raised.value.metadata == {"providers": "a, b, c"}
