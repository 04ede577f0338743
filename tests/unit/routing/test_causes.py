"""Errors that every target of a model would answer alike, and the other models that are tried for them."""

import pytest

from llmproxy_grpc.errors import (
    ContextLengthExceeded,
    InvalidRequest,
    PromptBlocked,
    ProxyError,
    UpstreamServerError,
)
from llmproxy_grpc.routing.catalog import Target
from tests.fakes.routing import Bench

LONG, BLOCKED, FAILED = ContextLengthExceeded("Long."), PromptBlocked("Blocked."), UpstreamServerError("It failed.")


def bench(**settings) -> Bench:
    """`assistant` at a and b, `large` at c, `open` at d; `assistant` turns to these by cause."""
    models = [
        {
            "id": "assistant",
            "targets": [{"provider": name, "model": "m"} for name in "ab"],
            "fallbacks": {"context_length": ["large"], "prompt_blocked": ["open", "large"]},
            **settings,
        },
        {"id": "large", "targets": [{"provider": "c", "model": "m"}]},
        {"id": "open", "targets": [{"provider": "d", "model": "m"}]},
    ]
    return Bench("a", "b", "c", "d", models=models)


def script(made: Bench, **errors: ProxyError) -> None:
    for name, error in errors.items():
        made.providers[name].chats.append(error)


async def tried(made: Bench, **call: int) -> list[str]:
    return [attempt.provider for attempt in (await made.chat(made.call(**call))).attempts]


async def failed(made: Bench, kind: type[ProxyError], **call: float) -> list[str]:
    made_call = made.call(**call)
    with pytest.raises(kind):
        await made.chat(made_call)
    return [attempt.provider for attempt in made_call.attempts]


@pytest.mark.parametrize(("error", "behind"), [(LONG, "c"), (BLOCKED, "d")])
async def test_the_models_for_the_cause_are_tried_and_no_other_target(error, behind):
    made = bench()
    script(made, a=error)
    assert await tried(made) == ["a", behind]


async def test_among_the_models_for_a_cause_failover_goes_on():
    made = bench()
    script(made, a=BLOCKED, d=FAILED)
    assert await tried(made) == ["a", "d", "c"]


async def test_one_cause_may_follow_another():
    made = bench()
    script(made, a=BLOCKED, d=LONG)
    assert await tried(made) == ["a", "d", "c"]


async def test_a_cause_may_come_behind_a_failure():
    made = bench()
    script(made, a=FAILED, b=LONG)
    assert await tried(made) == ["a", "b", "c"]


async def test_the_same_cause_again_ends_the_call():
    made = bench()
    script(made, a=LONG, c=LONG)
    assert await failed(made, ContextLengthExceeded) == ["a", "c"]


async def test_other_errors_of_the_request_end_the_call():
    made = bench()
    script(made, a=InvalidRequest("Wrong."))
    assert await failed(made, InvalidRequest) == ["a"]


async def test_without_models_for_the_cause_the_error_stands():
    made = bench(fallbacks={})
    script(made, a=LONG)
    assert await failed(made, ContextLengthExceeded) == ["a"]


async def test_no_more_attempts_are_made_than_allowed():
    made = bench()
    script(made, a=LONG)
    assert await failed(made, ContextLengthExceeded, previous_attempts=2) == ["a"]


async def test_a_deadline_that_is_too_near_leaves_the_error():
    made = bench()
    script(made, a=LONG)
    assert await failed(made, ContextLengthExceeded, seconds=0.1) == ["a"]


async def test_a_model_whose_circuits_are_open_is_a_last_resort():
    made = bench(fallbacks={"prompt_blocked": ["open", "large"]})
    for _ in range(5):
        permit = made.circuits.admit(Target("d", "m"))
        if permit is not None:
            permit.circuit.breaker.open(made.clock() + 100)
    script(made, a=BLOCKED)
    assert await tried(made) == ["a", "c"]
