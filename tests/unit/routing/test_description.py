import pytest

from llmproxy_grpc.messages import Capability, MediaKind, Modality
from llmproxy_grpc.providers.features import EmbedFeatures, Features, MediaFeature, Source
from llmproxy_grpc.providers.provider import UpstreamModel
from llmproxy_grpc.routing.catalog import Route, Target
from llmproxy_grpc.routing.description import Description, describe

PICTURES = {MediaKind.IMAGE: MediaFeature(prompts=Source.DATA)}
SOUND = {MediaKind.AUDIO: MediaFeature(prompts=Source.DATA)}
TEXT = frozenset({Modality.TEXT})
CHAT = frozenset({Capability.CHAT})


class Kind:
    def __init__(self, **features):
        self._features = Features(names=("kind",), **features)

    def features(self, upstream_model):
        return self._features


def described(providers, lists=None, targets=None):
    targets = targets or [(name, "m") for name in providers]
    known = {(name, model.name): model for name, model in (lists or {}).items()}
    return describe(Route("model", tuple(Target(*each) for each in targets)), providers, lambda *key: known.get(key))


def test_without_a_list_the_kinds_features_hold():
    told = described({"a": Kind(tools=True, reasoning_budget=True, media=PICTURES)})
    assert told.capabilities == {Capability.CHAT, Capability.TOOLS, Capability.REASONING}
    assert (told.input_modalities, told.output_modalities) == ({Modality.TEXT, Modality.IMAGE}, TEXT)
    assert (told.max_input_tokens, told.max_output_tokens) == (0, 0)


def test_what_the_list_denies_is_not_shown():
    listed = UpstreamModel("m", 1000, 100, CHAT | {Capability.REASONING}, TEXT, TEXT)
    told = described({"a": Kind(tools=True, media=PICTURES)}, {"a": listed})
    assert told == Description(CHAT, TEXT, TEXT, 1000, 100)


def test_what_the_kind_cannot_carry_is_not_shown_whatever_the_list_says():
    everything = UpstreamModel("m", 0, 0, frozenset(Capability), frozenset(Modality), frozenset(Modality))
    assert described({"a": Kind()}, {"a": everything}) == Description(CHAT, TEXT, TEXT)


def test_what_any_target_can_do_the_model_can_do():
    told = described({"a": Kind(tools=True, media=PICTURES), "b": Kind(json_schema=True, media=SOUND)})
    assert told.capabilities == {Capability.CHAT, Capability.TOOLS, Capability.JSON_SCHEMA}
    assert told.input_modalities == {Modality.TEXT, Modality.IMAGE, Modality.AUDIO}


def test_a_model_of_vectors_alone_does_not_chat():
    assert described({"a": Kind(chat=False, embed=EmbedFeatures())}).capabilities == {Capability.EMBED}


@pytest.mark.parametrize(
    ("limits", "largest", "smallest"),
    [((1000, 500), 1000, 500), ((0, 500), 500, 500), ((1000, 0), 1000, 1000), ((0, 0), 0, 0)],
)
def test_it_takes_what_the_largest_target_takes_and_writes_what_each_does(limits, largest, smallest):
    providers = {"a": Kind(), "b": Kind()}
    lists = {name: UpstreamModel("m", limit, limit) for name, limit in zip("ab", limits, strict=True)}
    told = described(providers, lists)
    assert (told.max_input_tokens, told.max_output_tokens) == (largest, smallest)


def test_a_configured_limit_goes_before_the_lists():
    route = Route("model", (Target("a", "m"),), limits={Target("a", "m"): 300})
    assert describe(route, {"a": Kind()}, lambda *_: UpstreamModel("m", 1000)).max_input_tokens == 300


def test_a_target_whose_provider_is_not_there_says_nothing():
    told = described({"a": Kind(tools=True)}, targets=[("a", "m"), ("gone", "m")])
    assert told.capabilities == {Capability.CHAT, Capability.TOOLS}
    assert described({}, targets=[("gone", "m")]) == Description()
