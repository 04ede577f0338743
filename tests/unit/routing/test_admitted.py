import pytest

from llmproxy_grpc.errors import NoProviderAvailable, PromptBlocked
from llmproxy_grpc.routing.admitted import admitted
from llmproxy_grpc.routing.candidate import Candidate, Choice
from llmproxy_grpc.routing.catalog import Target

CANDIDATES = [Candidate(Target(name, "m"), None, None) for name in ("b", "a", "c", "a")]
BLOCKED = PromptBlocked("Blocked.")


async def same(_error, _tried):
    return CANDIDATES


CHOICE = Choice(CANDIDATES, same)


def names(candidates):
    return [each.target.provider for each in candidates]


def test_the_order_stays():
    assert admitted(CHOICE, lambda _name: True).candidates == CANDIDATES
    assert names(admitted(CHOICE, lambda name: name != "a").candidates) == ["b", "c"]


async def test_it_holds_for_what_is_tried_instead_as_well():
    assert names(await admitted(CHOICE, lambda name: name != "a").instead(BLOCKED, ())) == ["b", "c"]


def test_if_none_is_left_the_error_names_each_once():
    with pytest.raises(NoProviderAvailable) as raised:
        admitted(CHOICE, lambda _name: False)
    assert raised.value.metadata == {"providers": "a, b, c"}
