"""Calls in an outage: who is called then, how often, and how soon it is over."""

import pytest

from llmproxy_grpc.errors import (
    CredentialsRejected,
    Fault,
    NoProviderAvailable,
    ProxyError,
    UpstreamOverloaded,
    UpstreamRateLimited,
    UpstreamServerError,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from tests.fakes.routing import Bench


def script(bench: Bench, name: str, error: type[ProxyError], times: int = 20_000) -> None:
    bench.providers[name].chats.extend(error("It failed.") for _ in range(times))


async def storm(bench: Bench, calls: int, *, gap: float = 0.02) -> list[ProxyError | None]:
    """Makes so many calls, one after the other; gives how each ended."""
    ends: list[ProxyError | None] = []
    for _ in range(calls):
        try:
            await bench.chat()
        except ProxyError as error:
            ends.append(error)
        else:
            ends.append(None)
        bench.clock.advance(gap)
    return ends


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("error", [UpstreamServerError, UpstreamTimeout, UpstreamUnreachable])
async def test_a_total_outage_of_the_only_target_costs_a_call_a_second(error, seed):
    bench = Bench("a", seed=seed)
    script(bench, "a", error)
    began = bench.clock()
    ends = await storm(bench, 5000)
    seconds = bench.clock() - began
    assert all(ends)
    # Five open the circuit; then one passes each second, and each may be repeated while the budget lasts.
    assert bench.asked()["a"] <= 5 + 10 + 2 * seconds
    assert bench.asked()["a"] <= 1.1 * 5000
    refused = [end for end in ends if isinstance(end, NoProviderAvailable)]
    assert len(refused) > 4000
    assert all(end.retry_after > 0 for end in refused)


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_a_storm_of_529_from_the_only_target_costs_a_call_for_each_rest(seed):
    bench = Bench("a", seed=seed)
    script(bench, "a", UpstreamOverloaded)
    began = bench.clock()
    ends = await storm(bench, 1000)
    assert {type(end) for end in ends} == {UpstreamOverloaded}
    # A rest is a second at least, and the budget of retries holds for those who wait for its end within their call.
    assert bench.asked()["a"] <= 1 + bench.clock() - began


@pytest.mark.parametrize("error", [UpstreamServerError, UpstreamTimeout, UpstreamUnreachable])
async def test_without_circuits_the_budget_alone_bounds_the_attempts(error):
    bench = Bench("a", breaker={"consecutive_failures": 10**6, "minimum_calls": 10**6})
    script(bench, "a", error)
    began = bench.clock()
    assert all(await storm(bench, 5000))
    free = (10 + bench.clock() - began) / 1.4
    assert bench.asked()["a"] - free <= 1.1 * 5000


@pytest.mark.parametrize("names", [("a",), ("a", "b"), ("a", "b", "c")])
@pytest.mark.parametrize(
    ("seconds", "error"),
    [
        (3, UpstreamServerError),
        (300, UpstreamServerError),
        *((30, error) for error in (UpstreamServerError, UpstreamUnreachable, UpstreamTimeout, UpstreamOverloaded)),
    ],
)
async def test_after_an_outage_of_every_target_the_first_success_comes_within_ten_seconds(names, seconds, error):
    bench = Bench(*names)
    for name in names:
        script(bench, name, error)
    began = bench.clock()
    while bench.clock() - began < seconds:
        assert all(await storm(bench, 1, gap=0.1))
    for name in names:
        bench.providers[name].chats.clear()
    back = bench.clock()
    while any(await storm(bench, 1, gap=0.1)):
        assert bench.clock() - back <= 10
    while any(await storm(bench, 10, gap=0.01)):
        assert bench.clock() - back <= 20


async def test_a_target_that_is_out_is_left_alone_while_another_serves():
    bench = Bench("a", "b")
    script(bench, "a", UpstreamServerError)
    ends = await storm(bench, 2000)
    assert ends == [None] * 2000
    seconds = 2000 * 0.02
    assert bench.asked()["a"] <= 5 + seconds / (0.75 * 5)
    assert bench.asked()["b"] == 2000


async def test_when_most_targets_are_out_their_circuits_are_ignored_but_rarely_and_evenly():
    bench = Bench("a", "b", "c", "d")
    for name in "abcd":
        script(bench, name, UpstreamServerError)
    await storm(bench, 3000)
    asked = bench.asked()
    assert max(asked.values()) <= 10 + 3000 * 0.02
    assert max(asked.values()) <= 2 * min(asked.values())


async def test_a_rest_that_the_provider_asked_for_is_kept_even_by_the_only_target():
    bench = Bench("a")
    bench.providers["a"].chats.append(UpstreamRateLimited("Slow down.", retry_after=30))
    ends = await storm(bench, 10, gap=2.9)
    assert {type(end) for end in ends} == {UpstreamRateLimited}
    assert bench.asked() == {"a": 1}
    assert ends[-1].retry_after == pytest.approx(30 - 9 * 2.9)
    bench.clock.advance(2)
    assert await storm(bench, 1) == [None]


async def test_a_short_rest_is_waited_for_within_the_call():
    bench = Bench("a")
    bench.providers["a"].chats.append(UpstreamRateLimited("Slow down."))
    call = await bench.chat()
    assert len(call.attempts) == 2
    assert 1.0 <= sum(bench.waits) <= 1.1


async def test_a_refused_credential_fails_over_and_is_said_by_the_last_target():
    refused = CredentialsRejected("No.", fault=Fault(http_status=401))
    bench = Bench("a", "b")
    bench.providers["a"].chats.append(refused)
    assert await storm(bench, 50) == [None] * 50
    assert bench.asked() == {"a": 1, "b": 50}
    bench = Bench("a")
    bench.providers["a"].chats.append(refused)
    ends = await storm(bench, 50)
    assert {type(end) for end in ends} == {CredentialsRejected}
    assert bench.asked() == {"a": 1}


async def test_everything_is_the_same_under_the_same_seed():
    async def trace(seed: int) -> list[float]:
        bench = Bench("a", "b", seed=seed)
        for name in "ab":
            script(bench, name, UpstreamServerError, 40)
        await storm(bench, 200)
        return [*bench.waits, *bench.asked().values()]

    assert await trace(1) == await trace(1) != await trace(2)
