from datetime import UTC, datetime

import pytest

from llmproxy_grpc.calls import ANONYMOUS, Attempt, Call
from llmproxy_grpc.errors import ProxyOverloaded, UpstreamOverloaded, UpstreamRateLimited, UpstreamServerError
from llmproxy_grpc.routing.concurrency import Concurrency
from llmproxy_grpc.routing.gradient import MOST, START


def call(method="Stream"):
    made = Call("id", method, "id", ANONYMOUS, datetime.now(UTC), 0.0, 0.0)
    made.provider = "a"
    return made


def fill(concurrency, provider="a"):
    """How many places there are."""
    taken = 0
    try:
        while True:
            assert concurrency.take(provider)
            taken += 1
    except ProxyOverloaded:
        for _ in range(taken):
            concurrency.give_back(provider)
        return taken


def busy(concurrency, work):
    """Does some work with every place taken."""
    taken = 0
    while taken < concurrency.limit("a"):
        concurrency.take("a")
        taken += 1
    work()
    for _ in range(taken):
        concurrency.give_back("a")


def test_without_a_limit_no_place_is_needed():
    concurrency = Concurrency({"b": 1})
    assert not concurrency.learns
    assert concurrency.limit("a") is None
    assert [concurrency.take("a") for _ in range(1000)] == [False] * 1000


def test_a_limit_holds_for_its_provider_and_says_so():
    concurrency = Concurrency({"a": 3, "b": 1})
    assert fill(concurrency) == 3
    concurrency.take("b")
    with pytest.raises(ProxyOverloaded) as raised:
        concurrency.take("b")
    assert raised.value.metadata == {"limit": "1", "provider": "b"}
    concurrency.give_back("b")
    assert concurrency.take("b")


def test_a_learned_limit_begins_small_and_grows_while_first_tokens_come_in_time():
    concurrency = Concurrency({}, ["a"])
    assert fill(concurrency) == START
    for _ in range(500):
        busy(concurrency, lambda: concurrency.first_output(call(), 0.3))
    assert fill(concurrency) == MOST


def test_whole_answers_teach_as_well_and_are_not_compared_with_first_tokens():
    concurrency = Concurrency({}, ["a"])

    def work():
        concurrency.first_output(call(), 0.3)
        concurrency.attempt_ended(call("Chat"), Attempt("a", "m", 30.0))

    for _ in range(500):
        busy(concurrency, work)
    assert concurrency.limit("a") == MOST


@pytest.mark.parametrize("error", [UpstreamRateLimited("x"), UpstreamOverloaded("x")])
def test_a_provider_that_has_too_much_to_do_gets_less(error):
    concurrency = Concurrency({}, ["a"])
    concurrency.attempt_ended(call(), Attempt("a", "m", 0.1, error))
    assert concurrency.limit("a") == 18


@pytest.mark.parametrize("error", [UpstreamServerError("x"), None])
def test_the_end_of_a_stream_teaches_nothing(error):
    concurrency = Concurrency({}, ["a"])
    for _ in range(50):
        busy(concurrency, lambda: concurrency.attempt_ended(call(), Attempt("a", "m", 300.0, error)))
    assert concurrency.limit("a") == START


def test_others_and_fixed_limits_learn_nothing():
    concurrency = Concurrency({"a": 7}, ["b"])
    concurrency.first_output(call(), 100.0)
    concurrency.attempt_ended(call(), Attempt("a", "m", 0.1, UpstreamOverloaded("x")))
    assert (concurrency.limit("a"), concurrency.limit("b")) == (7, START)


def test_what_was_learned_survives_a_reload():
    before = Concurrency({}, ["a"])
    before.attempt_ended(call(), Attempt("a", "m", 0.1, UpstreamOverloaded("x")))
    after = Concurrency({"c": 1}, ["a", "b"])
    after.adopt(before, same={"a", "b"}, there={"a", "b"})
    assert (after.limit("a"), after.limit("b")) == (18, START)


@pytest.mark.parametrize("learned", [(), ("a",)])
def test_what_still_runs_behind_a_reload_holds_its_places(learned):
    fixed = {} if learned else {"a": 3}
    before, after, changed = (Concurrency(fixed, learned) for _ in range(3))
    most = before.limit("a")
    for _ in range(most - 1):
        assert before.take("a")
    after.adopt(before, same={"a"}, there={"a"})
    changed.adopt(before, same=set(), there=set())
    assert (fill(after), fill(changed)) == (1, most)
    before.give_back("a")
    assert fill(after) == 2


@pytest.mark.parametrize("before", [Concurrency({"a": 8}), Concurrency({}, ["a"]), Concurrency({}, (), ["a"])])
def test_what_still_runs_holds_its_places_under_another_limit(before):
    """The server behind it has as much to do as before, whatever its new limit is, and if it had none."""
    after, learning = Concurrency({"a": 5}), Concurrency({}, ["a"])
    for _ in range(4):
        assert before.take("a")
    for each in (after, learning):
        each.adopt(before, same=set(), there={"a"})
    assert (fill(after), fill(learning)) == (1, START - 4)
    for _ in range(4):
        before.give_back("a")
    assert (fill(after), fill(learning)) == (5, START)


def test_a_limit_below_what_runs_admits_nobody_until_enough_have_ended():
    before, after = Concurrency({"a": 8}), Concurrency({"a": 2})
    for _ in range(4):
        before.take("a")
    after.adopt(before, same=set(), there={"a"})
    for left in (4, 3, 2):
        assert (before._places["a"].taken, fill(after)) == (left, 0)
        before.give_back("a")
    assert fill(after) == 1


def test_attempts_without_a_limit_are_counted_and_never_refused():
    concurrency = Concurrency({}, (), ["a"])
    assert all(concurrency.take("a") for _ in range(1000))
    assert concurrency.limit("a") is None
    assert not concurrency.learns
