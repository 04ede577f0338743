"""What may answer a request, and in which order."""

import asyncio
from collections.abc import Sequence
from random import Random
from typing import Any

import pytest

from llmproxy_grpc.aside import MANY
from llmproxy_grpc.config.schema import Condition, Fallbacks, ModelDefaults
from llmproxy_grpc.errors import (
    ContextLengthExceeded,
    InvalidRequest,
    ModelNotFound,
    NoProviderAvailable,
    PromptBlocked,
    ProxyError,
    UpstreamServerError,
)
from llmproxy_grpc.messages import ChatRequest, EmbedRequest, GenerationConfig, Message, Role, RoutingPolicy, TextPart
from llmproxy_grpc.pricing.prices import UNKNOWN
from llmproxy_grpc.providers.provider import UpstreamModel
from llmproxy_grpc.routing import candidates
from llmproxy_grpc.routing.candidate import Candidate
from llmproxy_grpc.routing.candidates import Chooser
from llmproxy_grpc.routing.catalog import Route, Target
from llmproxy_grpc.routing.operations import CHAT, COUNT, EMBED
from llmproxy_grpc.routing.ordering import Ordering
from llmproxy_grpc.routing.strategies.strategy import Means
from llmproxy_grpc.routing.vitals import Vitals
from tests.fakes.clock import FakeClock
from tests.fakes.scripted_provider import ScriptedProvider
from tests.fakes.threads import ran_beside

A, B, C = (Target(name, "m") for name in "abc")


def ask(text: str = "Hi", **fields: Any) -> ChatRequest:
    return ChatRequest("model", (Message(Role.USER, (TextPart(text=text),)),), **fields)


def chooser(*routes: Route, listed: dict[Target, int] | None = None) -> Chooser:
    known = {route.model: route for route in routes}

    def look_up(model: str) -> Route:
        if model not in known:
            raise ModelNotFound("No such model.")
        return known[model]

    return Chooser(
        look_up,
        {name: ScriptedProvider(name) for name in "abc"},
        frozenset(),
        listed=lambda provider, model: UpstreamModel(model, (listed or {}).get(Target(provider, model), 0)),
        ordering=Ordering(Means(Vitals(FakeClock()), lambda _provider, _model: UNKNOWN, Random(1).random)),
    )


def order(chooser: Chooser, *unavailable: Target, of: ChatRequest | None = None) -> list[Target]:
    found = asyncio.run(chooser.choose(CHAT, of or ask(), lambda target: target not in unavailable))
    return [candidate.target for candidate in found.candidates]


def test_targets_that_are_not_available_come_last():
    assert order(chooser(Route("model", (A, B, C))), A, C) == [B, A, C]


def test_if_none_is_available_all_are_there():
    assert order(chooser(Route("model", (A, B, C))), A, B, C) == [A, B, C]


def test_strategies_order_what_is_available_alone():
    route = chooser(Route("model", (A, B, C), "round_robin"))
    firsts = [order(route, A)[0] for _ in range(6)]
    assert firsts == [B, C, B, C, B, C]


def test_the_only_target_is_there_whether_available_or_not():
    assert order(chooser(Route("model", (A,))), A) == [A]


def test_a_fallback_that_is_available_goes_before_targets_that_are_not():
    assert order(chooser(Route("model", (A, B), fallback_models=("other",)), Route("other", (B, C))), A, B) == [C, A, B]


def test_without_a_word_on_availability_all_are_there():
    route = chooser(Route("model", (A, B), fallback_models=("other",)), Route("other", (C,)))
    found = asyncio.run(route.choose(CHAT, ask()))
    assert [candidate.target for candidate in found.candidates] == [A, B, C]


def test_targets_whose_provider_is_not_there_are_none():
    with pytest.raises(NoProviderAvailable):
        asyncio.run(chooser(Route("model", (Target("d", "m"),))).choose(CHAT, ask()))


# Conditions.

GOLD = Condition(labels={"tier": "gold"})


def test_a_target_whose_condition_is_not_met_is_passed_over():
    route = chooser(Route("model", (A, B), conditions={A: GOLD}))
    assert order(route) == [B]
    assert order(route, of=ask(labels={"tier": "gold"})) == [A, B]


def test_a_call_that_meets_no_condition_is_refused_without_telling_what_they_are():
    with pytest.raises(InvalidRequest) as caught:
        order(chooser(Route("model", (A, B), conditions={A: GOLD, B: GOLD})))
    assert "condition" in caught.value.message
    assert "gold" not in caught.value.message


def test_a_target_with_an_unmet_condition_may_serve_as_a_fallback():
    first = Route("model", (A, B), conditions={A: GOLD}, fallback_models=("other",))
    assert order(chooser(first, Route("other", (A,)))) == [B, A]


# Room.


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [(100, [A, B, C]), (900, [B, C]), (9_000, [C]), (900_000, [C])],
)
def test_targets_that_are_too_small_for_the_prompt_are_passed_over(tokens, expected):
    route = chooser(Route("model", (A, B, C)), listed={A: 1000, B: 10_000, C: 100_000})
    assert order(route, of=ask("x" * 4 * tokens)) == expected


def test_a_limit_that_nobody_knows_is_none():
    assert order(chooser(Route("model", (A, B)), listed={B: 100}), of=ask("x" * 4000)) == [A]


def test_a_configured_limit_goes_before_the_listed_one():
    route = chooser(Route("model", (A, B), limits={A: 10_000}), listed={A: 100, B: 100})
    assert order(route, of=ask("x" * 4000)) == [A]


def test_the_answer_needs_room_as_well():
    route = chooser(Route("model", (A, B)), listed={A: 1000, B: 10_000})
    assert order(route, of=ask(generation=GenerationConfig(max_output_tokens=999))) == [B]


def test_so_does_the_longest_answer_by_default():
    route = Route("model", (A, B), defaults=ModelDefaults(max_output_tokens=999))
    assert order(chooser(route, listed={A: 1000, B: 10_000})) == [B]


def test_an_estimate_refuses_nothing():
    assert order(chooser(Route("model", (A,)), listed={A: 10}), of=ask("x" * 4000)) == [A]
    assert order(chooser(Route("model", (A, B)), listed={A: 10, B: 10}), of=ask("x" * 4000)) == [A, B]


def test_a_fallback_with_room_goes_before_targets_without():
    routes = Route("model", (A, B), fallback_models=("large",)), Route("large", (C,))
    assert order(chooser(*routes, listed={A: 10, B: 10, C: 100_000}), of=ask("x" * 4000)) == [C]


def test_room_goes_before_availability():
    route = chooser(Route("model", (A, B)), listed={A: 10, B: 10_000})
    assert order(route, B, of=ask("x" * 4000)) == [B]


def test_of_inputs_to_embed_the_longest_needs_room():
    route = chooser(Route("model", (A, B)), listed={A: 1000, B: 10_000})

    def embedded(*sizes: int) -> list[Target]:
        request = EmbedRequest("model", tuple(TextPart(text="x" * size) for size in sizes))
        return [candidate.target for candidate in asyncio.run(route.choose(EMBED, request)).candidates]

    assert embedded(*[400] * 100) == [A, B]
    assert embedded(400, 4000) == [B]


def test_counting_needs_no_room():
    route = chooser(Route("model", (A, B)), listed={A: 10, B: 10_000})
    found = asyncio.run(route.choose(COUNT, ask("x" * 4000)))
    assert [candidate.target for candidate in found.candidates] == [A, B]


# Stickiness.


def sticky(strategy: str) -> Chooser:
    return chooser(Route("model", (A, B, C), strategy, sticky=True))


@pytest.mark.parametrize("strategy", ["weighted", "round_robin", "least_latency", "least_in_flight"])
def test_a_sticky_conversation_stays_while_its_target_is_available(strategy):
    of = ask(conversation_id="talk")
    home, second, third = order(sticky(strategy), of=of)
    route = sticky(strategy)
    for _ in range(20):
        assert order(route, of=of) == [home, second, third]
        assert order(route, home, of=of)[0] == second
        assert order(route, third, of=of)[0] == home


def test_sticky_conversations_are_spread():
    route = sticky("weighted")
    assert {order(route, of=ask(conversation_id=str(number)))[0] for number in range(50)} == {A, B, C}


@pytest.mark.parametrize("strategy", ["priority", "lowest_cost"])
def test_an_order_that_is_steady_by_itself_is_kept(strategy):
    route = sticky(strategy)
    assert {tuple(order(route, of=ask(conversation_id=str(number)))) for number in range(50)} == {(A, B, C)}


# After an error that no other target of the model would answer otherwise.

LONG, BLOCKED = ContextLengthExceeded("Too long."), PromptBlocked("Blocked.")
BY_CAUSE = Route("model", (A,), fallbacks=Fallbacks(context_length=("large",), prompt_blocked=("open", "large")))


def instead(chooser: Chooser, error: ProxyError, *tried: Target, of: ChatRequest | None = None) -> list[Target]:
    async def asked() -> Sequence[Candidate[ChatRequest]]:
        return await (await chooser.choose(CHAT, of or ask())).instead(error, tried)

    return [candidate.target for candidate in asyncio.run(asked())]


def test_each_cause_has_its_models():
    route = chooser(BY_CAUSE, Route("large", (C,)), Route("open", (B,)))
    assert instead(route, LONG) == [C]
    assert instead(route, BLOCKED) == [B, C]


def test_other_errors_have_none():
    assert instead(chooser(BY_CAUSE, Route("large", (C,))), UpstreamServerError("It failed.")) == []


def test_a_model_that_names_none_has_none():
    assert instead(chooser(Route("model", (A,))), LONG) == []


def test_what_was_tried_is_not_tried_again():
    assert instead(chooser(BY_CAUSE, Route("large", (A, C))), LONG, A) == [C]
    assert instead(chooser(BY_CAUSE, Route("large", (A,))), LONG, A) == []


def test_a_model_that_is_gone_is_no_new_error():
    assert instead(chooser(BY_CAUSE), LONG) == []


def test_the_callers_providers_hold_here_too():
    of = ask(routing=RoutingPolicy(providers=("a", "b")))
    assert instead(chooser(BY_CAUSE, Route("large", (B, C))), LONG, of=of) == [B]
    assert instead(chooser(BY_CAUSE, Route("large", (C,))), LONG, of=of) == []


# Long conversations.


@pytest.mark.parametrize(("messages", "beside"), [(1, False), (MANY - 1, False), (MANY, True)])
async def test_what_a_long_conversation_becomes_is_found_beside_the_loop(monkeypatch, messages, beside):
    ran = ran_beside(monkeypatch, candidates, "Search")
    of = ChatRequest("model", ask().messages * messages)
    choice = await chooser(BY_CAUSE, Route("large", (C,)), Route("open", (B,))).choose(CHAT, of)
    assert [candidate.target for candidate in await choice.instead(BLOCKED, ())] == [B, C]
    assert ran == [beside, beside]


async def test_why_there_is_none_is_told_of_a_long_one_too():
    with pytest.raises(NoProviderAvailable):
        await chooser(Route("model", (Target("d", "m"),))).choose(CHAT, ChatRequest("model", ask().messages * MANY))
