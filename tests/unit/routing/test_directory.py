import asyncio
from contextlib import asynccontextmanager

import pytest
from structlog.testing import capture_logs

from llmproxy_grpc.errors import UpstreamServerError, UpstreamTimeout
from llmproxy_grpc.providers.provider import UpstreamModel
from llmproxy_grpc.routing.directory import JITTER, LONGEST_NAME, MOST_MODELS, REFRESH, Directory
from tests.fakes.polling import until

FAILED = UpstreamServerError("It failed.")


class Listing:
    """Takes a step each time that it is asked: names to list, an error to raise, or a wait before it lists nothing."""

    def __init__(self, *steps):
        self.steps = list(steps)
        self.cancelled = 0

    async def list_models(self):
        step = self.steps.pop(0)
        if isinstance(step, Exception):
            raise step
        if not callable(step):
            return [UpstreamModel(name) for name in step]
        try:
            await step()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return []


async def never():
    await asyncio.Event().wait()


class Asked:
    """A directory of these providers, and what it told."""

    def __init__(self, timeout=5.0, chance=lambda: 0.5, **providers):
        self.told = []
        self.directory = Directory(
            providers, timeout, lambda name, error: self.told.append((name, error)), chance=chance
        )

    def names(self, provider):
        return list(self.directory.lists().get(provider, ()))


async def test_before_the_first_refresh_nothing_is_listed():
    asked = Asked(a=Listing(["m"]))
    assert asked.directory.lists() == {}
    assert not asked.directory.refreshed.is_set()


async def test_each_refresh_takes_the_place_of_the_list_before():
    asked = Asked(a=Listing(["m1", "m2"], ["m2"], []))
    for expected in (["m1", "m2"], ["m2"], []):
        await asked.directory.refresh()
        assert asked.names("a") == expected
    assert asked.told == [("a", None)] * 3


async def test_a_provider_that_fails_keeps_its_last_list():
    asked = Asked(a=Listing(["m"], FAILED))
    await asked.directory.refresh()
    await asked.directory.refresh()
    assert asked.names("a") == ["m"]
    assert asked.told == [("a", None), ("a", FAILED)]


async def test_a_provider_that_always_fails_has_no_list_and_harms_no_other():
    asked = Asked(bad=Listing(FAILED), good=Listing(["m"]))
    await asked.directory.refresh()
    assert asked.directory.lists().keys() == {"good"}


async def test_a_list_that_takes_too_long_is_given_up_as_a_timeout_and_the_last_one_stays():
    slow = Listing(["m"], never)
    asked = Asked(timeout=0.02, slow=slow)
    await asked.directory.refresh()
    await asked.directory.refresh()
    assert asked.names("slow") == ["m"]
    assert slow.cancelled == 1
    assert [(name, type(error)) for name, error in asked.told] == [("slow", type(None)), ("slow", UpstreamTimeout)]
    assert "0.02 s" in asked.told[-1][1].message


async def test_all_providers_are_asked_at_once():
    both = asyncio.Barrier(2)
    asked = Asked(a=Listing(both.wait), b=Listing(both.wait))
    await asked.directory.refresh()
    assert sorted(asked.told) == [("a", None), ("b", None)]


async def test_a_failure_is_logged_once_until_it_is_over():
    asked = Asked(a=Listing(FAILED, FAILED, UpstreamTimeout("Slow."), ["m"], FAILED))
    logged = []
    for _ in range(5):
        with capture_logs() as lines:
            await asked.directory.refresh()
        logged.append([(line["event"], line["provider"], line["reason"]) for line in lines])
    line = ("models_not_listed", "a", "UPSTREAM_SERVER_ERROR")
    assert logged == [[line], [], [], [], [line]]


async def test_each_failing_provider_has_a_line_of_its_own():
    asked = Asked(a=Listing(FAILED), b=Listing(FAILED))
    with capture_logs() as lines:
        await asked.directory.refresh()
    assert sorted(line["provider"] for line in lines) == ["a", "b"]


@asynccontextmanager
async def running(asked):
    """Runs the directory; gives the naps that it takes, and lets it sleep on in the second."""
    naps = asyncio.Queue()

    async def sleep(seconds):
        await naps.put(seconds)
        if naps.qsize() == 2:
            await never()

    task = asyncio.create_task(asked.directory.run(sleep))
    try:
        async with asyncio.timeout(5):
            await asked.directory.refreshed.wait()
        yield naps
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_it_refreshes_again_and_again_until_cancelled():
    asked = Asked(a=Listing(["m1"], ["m2"]))
    async with running(asked) as naps:
        await until(lambda: naps.qsize() == 2)
    assert asked.names("a") == ["m2"]
    assert [naps.get_nowait() for _ in range(2)] == [REFRESH, REFRESH]


async def test_it_counts_as_refreshed_even_where_nobody_could_be_asked():
    asked = Asked(a=Listing(FAILED, FAILED))
    async with running(asked):
        assert asked.directory.refreshed.is_set()


async def test_cancelling_while_a_provider_is_asked_cancels_the_asking():
    slow = Listing(never)
    asked = Asked(slow=slow)
    task = asyncio.create_task(asked.directory.run())
    await until(lambda: not slow.steps)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert slow.cancelled == 1
    assert asked.told == []


async def test_a_bug_in_one_provider_does_not_end_the_refresh_of_the_others():
    asked = Asked(a=Listing(ZeroDivisionError("secret")), b=Listing(["m"]))
    with capture_logs() as logs:
        await asked.directory.refresh()
    assert asked.names("b") == ["m"]
    assert [error.reason for name, error in asked.told if name == "a"] == ["INTERNAL"]
    assert "secret" not in str(logs)


@pytest.mark.parametrize(("chance", "share"), [(0.0, 1 - JITTER), (0.5, 1), (1.0, 1 + JITTER)])
async def test_replicas_that_began_together_do_not_ask_together_for_ever(chance, share):
    asked = Asked(chance=lambda: chance, a=Listing(["m1"], ["m2"]))
    async with running(asked) as naps:
        await until(lambda: naps.qsize() == 2)
    assert naps.get_nowait() == pytest.approx(REFRESH * share)


async def test_a_model_is_found_by_its_provider_and_name():
    asked = Asked(a=Listing(["m"]))
    assert asked.directory.find("a", "m") is None
    await asked.directory.refresh()
    assert asked.directory.find("a", "m") == UpstreamModel("m")
    assert asked.directory.find("a", "x") is None
    assert asked.directory.find("b", "m") is None


class Odd:
    """Lists these models."""

    def __init__(self, *models):
        self.models = models

    async def list_models(self):
        return self.models


async def test_of_models_with_one_name_the_first_counts():
    asked = Asked(a=Odd(UpstreamModel("m", 1), UpstreamModel("n"), UpstreamModel("m", 2)))
    await asked.directory.refresh()
    assert asked.names("a") == ["m", "n"]
    assert asked.directory.find("a", "m").max_input_tokens == 1


async def test_names_that_nobody_could_call_are_left_out():
    longest = "x" * LONGEST_NAME
    asked = Asked(a=Listing(["", "a\nb", "a\x00", longest + "x", longest, "ok/with spaces"]))
    await asked.directory.refresh()
    assert asked.names("a") == [longest, "ok/with spaces"]


async def test_an_absurd_list_is_cut():
    asked = Asked(a=Listing([f"m{number}" for number in range(MOST_MODELS + 10)]))
    await asked.directory.refresh()
    assert len(asked.names("a")) == MOST_MODELS
