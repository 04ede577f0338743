"""What may answer a request, and in which order."""

import pytest

from llmproxy_grpc.errors import ModelNotFound, NoProviderAvailable
from llmproxy_grpc.messages import ChatRequest, Message, Role, TextPart
from llmproxy_grpc.routing.candidates import Chooser
from llmproxy_grpc.routing.catalog import Route, Target
from llmproxy_grpc.routing.operations import CHAT
from tests.fakes.scripted_provider import ScriptedProvider

A, B, C = (Target(name, "m") for name in "abc")


def ask(model: str = "model") -> ChatRequest:
    return ChatRequest(model, (Message(Role.USER, (TextPart(text="Hi"),)),))


def chooser(*routes: Route) -> Chooser:
    known = {route.model: route for route in routes}

    def look_up(model: str) -> Route:
        if model not in known:
            raise ModelNotFound("No such model.")
        return known[model]

    return Chooser(look_up, {name: ScriptedProvider(name) for name in "abc"}, frozenset())


def order(chooser: Chooser, *unavailable: Target) -> list[Target]:
    found = chooser.candidates(CHAT, ask(), lambda target: target not in unavailable)
    return [candidate.target for candidate in found]


def test_targets_that_are_not_available_are_left_out():
    assert order(chooser(Route("model", (A, B, C))), A, C) == [B]


def test_if_none_is_available_all_are_there():
    assert order(chooser(Route("model", (A, B, C))), A, B, C) == [A, B, C]


def test_the_only_target_is_there_whether_available_or_not():
    assert order(chooser(Route("model", (A,))), A) == [A]


def test_a_fallback_that_is_available_goes_before_targets_that_are_not():
    assert order(chooser(Route("model", (A, B), fallback_models=("other",)), Route("other", (B, C))), A, B) == [C]


def test_without_a_word_on_availability_all_are_there():
    found = chooser(Route("model", (A, B), fallback_models=("other",)), Route("other", (C,))).candidates(CHAT, ask())
    assert [candidate.target for candidate in found] == [A, B, C]


def test_targets_whose_provider_is_not_there_are_none():
    with pytest.raises(NoProviderAvailable):
        chooser(Route("model", (Target("d", "m"),))).candidates(CHAT, ask())
