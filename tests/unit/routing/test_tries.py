"""What is tried when an attempt fails, how often, and after what wait."""

import pytest

from llmproxy_grpc.calls import Attempt
from llmproxy_grpc.errors import (
    CredentialsRejected,
    DeadlineExceeded,
    InvalidRequest,
    ProxyError,
    UpstreamOverloaded,
    UpstreamProtocolError,
    UpstreamRateLimited,
    UpstreamServerError,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from llmproxy_grpc.providers.provider import Unsupported
from llmproxy_grpc.routing.catalog import Target
from llmproxy_grpc.routing.operations import CHAT
from llmproxy_grpc.routing.outage import Outage, OutageKind
from tests.fakes.routing import ASKED, Bench

FAILED = UpstreamServerError("It failed.")


def fails(bench: Bench, name: str, *failures: ProxyError) -> None:
    bench.providers[name].chats.extend(failures)


async def error_of(bench: Bench, **call) -> ProxyError:
    with pytest.raises(ProxyError) as raised:
        await bench.chat(bench.call(**call))
    return raised.value


@pytest.mark.parametrize("failure", [UpstreamServerError, UpstreamTimeout, UpstreamProtocolError, UpstreamOverloaded])
async def test_the_only_target_is_asked_again_after_a_wait(failure):
    bench = Bench("a")
    fails(bench, "a", failure("No."), failure("No."))
    call = await bench.chat()
    assert [attempt.error is None for attempt in call.attempts] == [False, False, True]
    longest = 1.0 if failure is UpstreamOverloaded else 0.05
    assert len(bench.waits) == 2
    assert bench.waits[0] <= longest
    assert bench.waits[1] <= 2 * longest


@pytest.mark.parametrize("failure", [UpstreamUnreachable, CredentialsRejected, InvalidRequest])
async def test_a_target_is_not_asked_again_if_that_cannot_help(failure):
    bench = Bench("a")
    fails(bench, "a", failure("No."))
    assert type(await error_of(bench)) is failure
    assert bench.asked() == {"a": 1}
    assert bench.waits == []


async def test_who_was_not_asked_is_told_with_the_failure():
    bench = Bench("a", "small", "b")
    bench.providers["small"].unsupported_fields.append(Unsupported("tools", "no"))
    fails(bench, "a", UpstreamUnreachable("No connection."))
    fails(bench, "b", UpstreamUnreachable("No connection to b."))
    call = bench.call()
    with pytest.raises(UpstreamUnreachable) as raised:
        await bench.chat(call)
    assert raised.value.message == "No connection to b. Not asked: small/m."
    assert raised.value.fault == call.attempts[-1].error.fault
    assert [attempt.error.message for attempt in call.attempts] == ["No connection.", "No connection to b."]
    assert bench.asked() == {"a": 1, "small": 0, "b": 1}


async def test_who_was_asked_after_all_is_not_among_those_who_were_not():
    bench = Bench("a", "small")
    bench.providers["small"].unsupported_fields.append(Unsupported("tools", "no"))
    fails(bench, "a", UpstreamUnreachable("No connection."))
    call = bench.call()
    call.attempts.append(Attempt("small", "m", 0.1, FAILED))
    with pytest.raises(UpstreamUnreachable) as raised:
        await bench.chat(call)
    assert raised.value.message == "No connection."


async def test_another_target_is_tried_at_once_and_the_first_again_only_when_all_have_failed():
    bench = Bench("a", "b")
    fails(bench, "a", FAILED)
    fails(bench, "b", UpstreamUnreachable("No connection."))
    call = await bench.chat()
    assert [attempt.provider for attempt in call.attempts] == ["a", "b", "a"]
    assert len(bench.waits) == 1


async def test_a_wait_that_the_provider_asks_for_is_kept_if_it_is_short():
    bench = Bench("a")
    fails(bench, "a", UpstreamRateLimited("Slow down.", retry_after=3))
    await bench.chat()
    assert 3 <= bench.waits[0] <= 3.05


@pytest.mark.parametrize(("asked", "seconds"), [(6, 600), (3, 5)])
async def test_a_wait_that_is_too_long_is_the_callers(asked, seconds):
    bench = Bench("a")
    fails(bench, "a", UpstreamRateLimited("Slow down.", retry_after=asked))
    assert (await error_of(bench, seconds=seconds)).retry_after == asked
    assert bench.waits == []


async def test_the_shortest_wait_is_the_callers_and_each_attempt_keeps_its_own():
    bench = Bench("a", "b")
    fails(bench, "a", UpstreamRateLimited("Slow down.", retry_after=20))
    fails(bench, "b", UpstreamRateLimited("Slow down.", retry_after=60))
    call = bench.call()
    with pytest.raises(UpstreamRateLimited) as raised:
        await bench.chat(call)
    assert raised.value.retry_after == 20
    assert [attempt.error.retry_after for attempt in call.attempts] == [20, 60]


@pytest.mark.parametrize(("previous", "most"), [(0, 3), (1, 2), (2, 1), (5, 1)])
async def test_a_call_that_is_a_retry_itself_is_tried_less_often(previous, most):
    bench = Bench("a")
    fails(bench, "a", *[FAILED] * 5)
    assert await error_of(bench, previous_attempts=previous) is FAILED
    assert bench.asked() == {"a": most}


async def test_no_attempt_begins_that_the_deadline_would_cut():
    bench = Bench("a")
    fails(bench, "a", FAILED)
    assert await error_of(bench, seconds=0.19) is FAILED
    with pytest.raises(DeadlineExceeded):
        await bench.chat(bench.call(seconds=0.0))
    assert bench.asked() == {"a": 1}


@pytest.mark.parametrize(("left", "asked"), [(1.5, 1), (1.9, 1), (2.2, 2), (60, 2)])
async def test_a_target_is_not_asked_again_if_it_usually_takes_twice_the_time_that_is_left(left, asked):
    bench = Bench("a")
    bench.circuits.line(Target("a", "m")).learn(4.0, streaming=False)
    fails(bench, "a", FAILED)
    call = bench.call(seconds=left)
    if asked == 1:
        with pytest.raises(UpstreamServerError):
            await bench.chat(call)
    else:
        await bench.chat(call)
    assert bench.asked() == {"a": asked}


@pytest.mark.parametrize(("out", "tried"), [("", "abcd"), ("ab", "cd"), ("abc", "dxxx"), ("abcd", "xxxx")])
async def test_circuits_that_are_open_are_ignored_only_where_more_than_half_of_the_targets_are_out(out, tried):
    """In `tried`, an x is any of those that are out: they come in any order, each once."""
    bench = Bench(*"abcd", retries={"max_attempts": 5})
    for name in "abcd":
        fails(bench, name, UpstreamUnreachable("No connection."))
    for name in out:
        bench.circuits.learn(Outage(OutageKind.OPEN, name, "m", 0, bench.clock() + 60))
    call = bench.call()
    with pytest.raises(UpstreamUnreachable):
        await bench.chat(call)
    asked = [attempt.provider for attempt in call.attempts]
    assert "".join("x" if name in out else name for name in asked) == tried
    assert len(set(asked)) == len(asked)


async def test_those_that_are_out_are_tried_in_any_order():
    """Else calls would begin with the first of them, whoever is back."""
    first = set()
    for seed in range(40):
        bench = Bench(*"abcd", seed=seed)
        for name in "abcd":
            bench.circuits.learn(Outage(OutageKind.OPEN, name, "m", 0, bench.clock() + 60))
        first.add((await bench.chat()).attempts[0].provider)
    assert first == set("abcd")


async def test_a_probe_that_there_is_no_time_for_is_left_to_the_next_call():
    bench = Bench("a", "b")
    fails(bench, "a", FAILED)
    bench.circuits.line(Target("b", "m")).learn(4.0, streaming=False)
    bench.circuits.learn(Outage(OutageKind.OPEN, "b", "m", 0, bench.clock() + 1))
    bench.clock.advance(1)
    assert await error_of(bench, seconds=1.5) is FAILED
    assert bench.asked() == {"a": 1, "b": 0}
    assert bench.circuits.available(Target("b", "m"))


@pytest.mark.parametrize(
    ("failure", "cost"),
    [(UpstreamServerError, 1.4), (UpstreamTimeout, 1.4), (UpstreamRateLimited, 0.5), (UpstreamOverloaded, 0.5)],
)
async def test_what_a_repeat_costs_of_the_budget_depends_on_what_failed(failure, cost):
    bench = Bench("a")
    fails(bench, "a", failure("No."))
    await bench.chat()
    assert bench.router._retries.budget("a").balance(bench.clock()) == pytest.approx(10.1 - cost)


@pytest.mark.parametrize(
    ("failure", "beside"), [(UpstreamServerError, True), (UpstreamRateLimited, False), (UpstreamOverloaded, False)]
)
async def test_no_second_attempt_runs_beside_one_in_a_call_that_was_limited(failure, beside):
    bench = Bench("a", "b", "c", retries={"max_attempts": 5})
    call = bench.call(method="Stream")
    tries = await bench.router._tries(CHAT, call, ASKED)
    assert tries.first().candidate.target.provider == "a"
    assert (await tries.after(failure("No."))).candidate.target.provider == "b"
    turn = tries.beside()
    assert (turn is not None) is beside
    assert turn is None or turn.candidate.target.provider == "c"


@pytest.mark.parametrize(("spent", "beside"), [(0, True), (4.9, True), (5.2, False), (9, False)])
async def test_no_second_attempt_runs_beside_one_with_half_of_the_retry_budget_spent(spent, beside):
    bench = Bench("a", "b")
    tries = await bench.router._tries(CHAT, bench.call(method="Stream"), ASKED)
    tries.first()
    assert bench.router._retries.budget("a").withdraw(spent, bench.clock())
    assert (tries.beside() is not None) is beside


async def test_an_outage_of_the_first_target_is_no_reason_to_give_up_the_second():
    bench = Bench("a", "b")
    fails(bench, "a", *[UpstreamUnreachable("No connection.") for _ in range(1000)])
    for _ in range(1000):
        await bench.chat()
    assert bench.asked()["b"] == 1000


async def test_turning_to_a_target_that_is_well_costs_nothing_however_often_the_first_fails():
    bench = Bench("a", "b")
    # Of five calls two fail: its circuit stays closed, and its budget is long empty.
    for _ in range(200):
        fails(bench, "a", FAILED, FAILED)
        for _ in range(5):
            await bench.chat()
    assert bench.asked() == {"a": 1000, "b": 400}
