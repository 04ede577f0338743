import pytest

from llmproxy_grpc.config.schema import Config
from llmproxy_grpc.errors import ModelNotFound
from llmproxy_grpc.providers.provider import UpstreamModel
from llmproxy_grpc.routing.catalog import Catalog, Route, Target

PROVIDERS = [
    {"name": "a", "kind": "echo", "models": {"exclude": ["*-old"]}},
    {"name": "b", "kind": "echo", "models": {"include": ["gpt-*"]}},
]
ASSISTANT = {"id": "assistant", "targets": [{"provider": "b", "model": "gpt-1"}, {"provider": "a", "model": "m"}]}
LISTS = {
    "a": [UpstreamModel("m", 1000, 100), UpstreamModel("m-old")],
    "b": [UpstreamModel("gpt-1", 500), UpstreamModel("dall-e")],
}


def catalog(*models, lists=LISTS, **settings):
    config = Config.model_validate({"providers": PROVIDERS, "models": models, **settings})
    return Catalog(
        config, config.providers, lambda: {name: {model.name: model for model in told} for name, told in lists.items()}
    )


def listed(*models, provider="", **settings):
    return catalog(*models, **settings).listed(provider)


def refused(of, model):
    with pytest.raises(ModelNotFound) as caught:
        of.route(model)
    return caught.value


# Routes.


def test_a_route_has_its_targets_in_the_order_written_and_its_settings():
    model = {**ASSISTANT, "fallback_models": ["small"], "defaults": {"temperature": 0.5}}
    route = catalog(model).route("assistant")
    assert route.targets == (Target("b", "gpt-1"), Target("a", "m"))
    assert (route.model, route.strategy, route.fallback_models) == ("assistant", "priority", ("small",))
    assert route.defaults.settings() == {"temperature": 0.5}


def test_a_direct_model_is_split_at_the_first_slash():
    assert catalog().route("a/org/model") == Route("a/org/model", (Target("a", "org/model"),))


def test_a_direct_model_need_not_be_listed():
    assert catalog(lists={}).route("a/new").targets == (Target("a", "new"),)


@pytest.mark.parametrize("model", ["", "a", "a/", "/", "/m", "c/m", "A/m", "a/m-old", "b/dall-e", "default"])
def test_what_no_provider_admits_is_not_found(model):
    assert refused(catalog(), model).metadata == {"model": model}


def test_without_direct_models_only_routes_are_found():
    of = catalog(ASSISTANT, direct_models=False)
    assert of.route("assistant")
    assert refused(of, "a/m")


def test_a_route_may_have_the_name_of_a_direct_model_and_a_target_that_is_left_out_of_those():
    model = {"id": "a/m", "targets": [{"provider": "b", "model": "dall-e"}]}
    assert catalog(model).route("a/m").targets == (Target("b", "dall-e"),)


def test_a_name_that_is_not_found_is_shown_in_part():
    error = refused(catalog(), "x" * 10_000)
    assert len(error.message) < 256
    assert error.metadata == {"model": "x" * 128}


# The default.


def test_default_stands_for_the_default_model():
    assert catalog(ASSISTANT, default_model="assistant").route("default").model == "assistant"
    assert catalog(default_model="a/m").route("default") == Route("a/m", (Target("a", "m"),))


def test_without_a_default_model_the_error_says_what_to_set():
    with pytest.raises(ModelNotFound, match="No default_model is configured"):
        catalog().route("default")
    with pytest.raises(ModelNotFound, match="There is no model 'other'"):
        catalog().route("other")


def test_a_model_called_default_is_itself():
    model = {**ASSISTANT, "id": "default"}
    assert catalog(model, default_model="a/m").route("default").targets == (Target("b", "gpt-1"), Target("a", "m"))
    assert catalog(model, default_model="default").route("default").model == "default"


def test_a_default_that_stands_for_nothing_is_not_found():
    assert refused(catalog(default_model="default"), "default").metadata == {"model": "default"}
    assert refused(catalog(default_model="nothing"), "default").metadata == {"model": "nothing"}


# Lists.


def test_routes_and_admitted_models_are_listed_by_id():
    assert listed(ASSISTANT, {**ASSISTANT, "id": "zebra"}) == ["a/m", "assistant", "b/gpt-1", "zebra"]


def test_without_direct_models_only_routes_are_listed():
    assert listed(ASSISTANT, direct_models=False) == ["assistant"]


def test_what_is_both_configured_and_discovered_is_listed_once_as_configured():
    model = {**ASSISTANT, "id": "a/m"}
    of = catalog(model, lists={"a": LISTS["a"]})
    assert of.listed() == ["a/m"]
    assert len(of.route("a/m").targets) == 2


def test_a_provider_narrows_the_list_to_what_it_may_serve():
    assert listed(ASSISTANT, provider="a") == ["a/m", "assistant"]
    assert listed(ASSISTANT, provider="b") == ["assistant", "b/gpt-1"]
    assert listed(ASSISTANT, provider="c") == []


def test_the_lists_of_a_provider_that_is_gone_are_not_shown():
    assert listed(lists={"gone": [UpstreamModel("m")]}) == []


def test_what_a_provider_lists_and_the_configuration_admits_keeps_its_order():
    lists = {"a": [UpstreamModel(name) for name in ("z", "m-old", "m")], "b": LISTS["b"], "gone": [UpstreamModel("m")]}
    of = catalog(lists=lists, direct_models=False)
    assert (of.admitted("a"), of.admitted("b"), of.admitted("gone"), of.admitted("c")) == (
        ["z", "m"],
        ["gpt-1"],
        [],
        [],
    )


def test_new_lists_are_seen_at_once():
    lists = {}
    of = catalog(lists=lists)
    assert of.listed() == []
    lists["a"] = [UpstreamModel("m")]
    assert of.listed() == ["a/m"]


def test_a_model_is_known_if_it_is_configured_or_discovered():
    of = catalog(ASSISTANT)
    assert of.knows("assistant")
    assert of.knows("a/m")
    assert not of.knows("a/unlisted")
    assert not of.knows("m")
    assert not of.knows("")
    assert of.configured() == ("assistant",)


@pytest.mark.parametrize("model", ["a/m-old", "b/dall-e"])
def test_what_may_not_be_called_is_not_known(model):
    assert not catalog().knows(model)


def test_without_direct_models_no_model_of_a_provider_is_known():
    assert catalog().knows("a/m")
    assert not catalog(direct_models=False).knows("a/m")
