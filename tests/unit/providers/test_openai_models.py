import pytest
from msgspec.structs import replace

from llmproxy_grpc.messages import (
    CacheHint,
    FunctionTool,
    GenerationConfig,
    Message,
    ProviderTool,
    ReasoningConfig,
    ReasoningEffort,
    Role,
    TextPart,
    ToolChoice,
)
from llmproxy_grpc.providers.chat_completions.features import features_of
from llmproxy_grpc.providers.chat_completions.quirks import OPENAI, OPENAI_RESPONSES, Effort
from llmproxy_grpc.providers.openai_models import (
    adapt_to_model,
    features_with,
    thinks,
    with_possible_limit,
)
from llmproxy_grpc.providers.provider import Adapted
from llmproxy_grpc.providers.responses_api.features import features_of as responses_features
from tests.providers.conversations import ask

FEATURES = features_of(OPENAI, ("openai",))
SAMPLING = GenerationConfig(temperature=0.5, top_p=0.5, top_logprobs=1)
EVERYTHING = GenerationConfig(
    temperature=0.5,
    top_p=0.5,
    top_logprobs=1,
    presence_penalty=0.5,
    frequency_penalty=0.5,
    logit_bias={1: 1.0},
    stop_sequences=("END",),
    seed=1,
    max_output_tokens=5,
)


def refused(model: str, config: GenerationConfig = EVERYTHING, **fields) -> set[str]:
    adapted = adapt_to_model(ask(generation=config, **fields), FEATURES, model)
    return {found.field.rpartition(".")[2] for found in adapted.unsupported}


@pytest.mark.parametrize(
    ("model", "answer"),
    [
        ("o1", True),
        ("o3-mini", True),
        ("o4-mini-2025-04-16", True),
        ("gpt-5", True),
        ("gpt-5-mini", True),
        ("openai/gpt-5.6-sol", True),
        ("gpt-6", True),
        ("ft:o4-mini:acme", True),
        ("codex-mini-latest", True),
        ("gpt-5-chat-latest", False),
        ("gpt-4o", False),
        ("gpt-4.1-nano", False),
        ("ft:gpt-4o-mini:acme", False),
        ("gpt-oss-120b", False),
        ("my-gpt-5", False),
        ("o", False),
        ("", False),
    ],
)
def test_a_models_name_tells_whether_it_thinks(model, answer):
    assert thinks(model) is answer


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-5-chat-latest", "unknown", "gpt-oss-20b"])
def test_a_model_that_does_not_think_or_is_not_known_takes_every_setting(model):
    assert refused(model) == set()


@pytest.mark.parametrize("model", ["o3", "o4-mini", "gpt-5", "gpt-5-nano", "gpt-5.2-codex", "gpt-5.5", "gpt-6-sol"])
def test_a_model_that_thinks_takes_neither_sampling_nor_stops(model):
    assert refused(model) == {
        "temperature",
        "top_p",
        "top_logprobs",
        "presence_penalty",
        "frequency_penalty",
        "logit_bias",
        "stop_sequences",
    }


@pytest.mark.parametrize("model", ["o1", "o3-mini"])
def test_the_oldest_of_them_take_stops(model):
    assert "stop_sequences" not in refused(model)


@pytest.mark.parametrize(
    ("model", "effort", "samples"),
    [
        ("gpt-5.1", ReasoningEffort.UNSPECIFIED, True),
        ("gpt-5.4-mini", ReasoningEffort.UNSPECIFIED, True),
        ("gpt-5.4", ReasoningEffort.LOW, False),
        ("gpt-5.1-codex", ReasoningEffort.UNSPECIFIED, False),
        ("gpt-5.5", ReasoningEffort.UNSPECIFIED, False),
        ("gpt-5.5", ReasoningEffort.NONE, True),
        ("gpt-5", ReasoningEffort.NONE, False),
        ("gpt-6-sol", ReasoningEffort.NONE, False),
    ],
)
def test_some_sample_while_they_do_not_think(model, effort, samples):
    config = GenerationConfig(temperature=0.5, presence_penalty=1.0, reasoning=ReasoningConfig(effort))
    assert ("temperature" not in refused(model, config)) is samples
    assert "presence_penalty" in refused(model, config)


NONE, MINIMAL, LOW, MEDIUM, HIGH, XHIGH, MAX = (effort for effort in ReasoningEffort if effort)
TO_HIGH = {NONE: LOW, MINIMAL: LOW, LOW: LOW, MEDIUM: MEDIUM, HIGH: HIGH, XHIGH: HIGH, MAX: HIGH}


@pytest.mark.parametrize(
    ("models", "sent"),
    [
        (["o1", "o3", "o3-mini", "o4-mini-2025-04-16", "openai/o3-pro", "ft:o4-mini:acme"], TO_HIGH),
        (["gpt-5-codex", "gpt-5.1-codex", "gpt-5.1-codex-mini"], TO_HIGH),
        (["gpt-5", "gpt-5-mini", "gpt-5-nano-2025-08-07"], TO_HIGH | {NONE: MINIMAL, MINIMAL: MINIMAL}),
        (["gpt-5-pro", "gpt-5-pro-2025-10-06"], dict.fromkeys(TO_HIGH, HIGH)),
        (["gpt-5.1", "gpt-5.1-2025-11-13"], TO_HIGH | {NONE: NONE}),
        (["gpt-5.1-codex-max", "gpt-5.3-codex"], TO_HIGH | {XHIGH: XHIGH, MAX: XHIGH}),
        (["gpt-5.2", "gpt-5.4-mini", "gpt-5.5-2026-04-23"], TO_HIGH | {NONE: NONE, XHIGH: XHIGH, MAX: XHIGH}),
        (
            ["gpt-5.2-pro", "gpt-5.4-pro-2026-03-05"],
            TO_HIGH | {NONE: MEDIUM, MINIMAL: MEDIUM, LOW: MEDIUM, XHIGH: XHIGH, MAX: XHIGH},
        ),
        (["gpt-5.6", "openai/gpt-5.6-sol"], TO_HIGH | {NONE: NONE, XHIGH: XHIGH, MAX: MAX}),
        (
            ["gpt-6-sol", "gpt-5.2-chat-latest", "gpt-oss-120b", "o9", "mine", ""],
            {effort: effort for effort in TO_HIGH},
        ),
    ],
)
@pytest.mark.parametrize("features", [FEATURES, responses_features(OPENAI_RESPONSES, ("openai",))])
def test_an_effort_that_a_model_does_not_know_becomes_the_nearest_with_a_warning(models, sent, features):
    for model in models:
        for asked, got in sent.items():
            config = GenerationConfig(reasoning=ReasoningConfig(asked))
            adapted = adapt_to_model(ask(generation=config), features, model)
            assert adapted.request.generation.reasoning == ReasoningConfig(got), (model, asked)
            assert [change.field for change in adapted.changes] == ["generation.reasoning.effort"] * (asked is not got)
            assert adapted.unsupported == ()


def test_a_model_that_cannot_stop_thinking_takes_no_sampling_when_it_is_asked_to():
    config = GenerationConfig(temperature=0.5, reasoning=ReasoningConfig(ReasoningEffort.NONE))
    assert refused("gpt-5.1-codex", config) == {"temperature"}
    assert refused("gpt-5.1", config) == set()


def test_efforts_that_are_configured_beside_a_models_own_leave_it_some():
    features = features_of(replace(OPENAI, highest_effort=Effort.LOW), ("openai",))
    assert features_with(features, "gpt-5").efforts == {ReasoningEffort.UNSPECIFIED, MINIMAL, LOW}
    assert HIGH in features_with(features, "gpt-5-pro").efforts


def test_settings_at_their_usual_values_are_no_demand():
    usual = GenerationConfig(temperature=1.0, top_p=1.0, presence_penalty=0.0, frequency_penalty=0.0)
    adapted = adapt_to_model(ask(generation=usual), FEATURES, "o3")
    assert adapted.unsupported == ()
    assert adapted.request.generation == GenerationConfig()
    untouched = ask(generation=usual)
    assert adapt_to_model(untouched, FEATURES, "gpt-4o").request.generation == usual


def test_the_o_series_decides_by_itself_how_many_calls_to_make():
    fields = {"tools": (FunctionTool("f"),), "tool_choice": ToolChoice(parallel_tool_calls=False)}
    assert refused("o3", GenerationConfig(), **fields) == {"parallel_tool_calls"}
    assert refused("o1", GenerationConfig(), **fields) == set()
    assert refused("gpt-5", GenerationConfig(), **fields) == set()


def test_an_older_model_cannot_be_told_to_think():
    config = GenerationConfig(reasoning=ReasoningConfig(ReasoningEffort.LOW))
    assert refused("gpt-4o", config) == {"effort"}
    assert refused("unknown", config) == refused("gpt-5", config) == set()


@pytest.mark.parametrize(
    ("model", "taken"), [("gpt-5.6", True), ("gpt-6-sol", True), ("gpt-5.5", False), ("o3", False), ("unknown", False)]
)
def test_cache_hints_are_for_models_that_know_them(model, taken):
    hinted = (Message(Role.USER, (TextPart(text="x", cache_hint=CacheHint()),)),)
    assert (refused(model, GenerationConfig(), messages=hinted) == set()) is taken


def test_what_a_model_does_not_change_stays_as_it_is():
    assert features_with(FEATURES, "gpt-5.6").count_tokens is FEATURES.count_tokens
    plain = features_of(OPENAI, ("openai",))
    assert features_with(features_with(plain, "unknown"), "unknown") == features_with(plain, "unknown")


@pytest.mark.parametrize(("model", "chooses"), [("text-embedding-3-small", True), ("text-embedding-ada-002", False)])
def test_the_length_of_vectors_can_be_chosen_where_the_model_can(model, chooses):
    assert features_with(FEATURES, model).embed.dimensions is chooses
    assert features_with(replace(FEATURES, embed=None), model).embed is None


@pytest.mark.parametrize(
    ("model", "effort", "sent", "named", "warned"),
    [
        ("gpt-5.4", ReasoningEffort.LOW, ReasoningEffort.NONE, True, False),
        ("gpt-5.4", ReasoningEffort.UNSPECIFIED, ReasoningEffort.UNSPECIFIED, False, False),
        ("gpt-5.6-sol", ReasoningEffort.UNSPECIFIED, ReasoningEffort.NONE, False, True),
        ("gpt-5.6", ReasoningEffort.HIGH, ReasoningEffort.NONE, True, False),
        ("gpt-5.6", ReasoningEffort.NONE, ReasoningEffort.NONE, False, False),
        ("gpt-5.2", ReasoningEffort.HIGH, ReasoningEffort.HIGH, False, False),
        ("gpt-5.4-pro", ReasoningEffort.HIGH, ReasoningEffort.HIGH, False, False),
        ("unknown", ReasoningEffort.HIGH, ReasoningEffort.HIGH, False, False),
    ],
)
def test_newer_models_call_functions_only_while_they_do_not_think(model, effort, sent, named, warned):
    config = GenerationConfig(reasoning=ReasoningConfig(effort), max_output_tokens=7)
    adapted = adapt_with_functions(config, model)
    assert adapted.request.generation == replace(config, reasoning=ReasoningConfig(sent))
    assert [found.field for found in adapted.unsupported] == ["generation.reasoning.effort"] * named
    assert [change.field for change in adapted.changes] == ["generation.reasoning.effort"] * warned


def adapt_with_functions(config: GenerationConfig, model: str, *tools: FunctionTool | ProviderTool) -> Adapted:
    asked = ask(generation=config, tools=tools or (FunctionTool("f"),))
    return adapt_to_model(asked, FEATURES, model, together=False)


@pytest.mark.parametrize(
    ("model", "effort", "named"),
    [
        ("gpt-5.5", ReasoningEffort.UNSPECIFIED, []),
        ("gpt-5.5", ReasoningEffort.NONE, []),
        ("gpt-5.4", ReasoningEffort.HIGH, ["generation.reasoning.effort"]),
    ],
)
def test_who_is_told_not_to_think_takes_what_models_take_that_do_not(model, effort, named):
    config = replace(SAMPLING, reasoning=ReasoningConfig(effort))
    adapted = adapt_with_functions(config, model)
    assert [found.field for found in adapted.unsupported] == named
    assert adapted.request.generation == replace(config, reasoning=ReasoningConfig(ReasoningEffort.NONE))


def test_without_functions_they_think_as_they_are_asked_to():
    config = GenerationConfig(reasoning=ReasoningConfig(ReasoningEffort.HIGH))
    assert adapt_to_model(ask(generation=config), FEATURES, "gpt-5.6", together=False).request.generation == config
    union = FunctionTool("f", parameters_json_schema='{"anyOf":[{}]}')
    for tool in (ProviderTool("openai", "web_search", {}), FunctionTool("no such name"), union):
        assert adapt_with_functions(config, "gpt-5.6", tool).request.generation == config
    asked = ask(generation=config, tools=(FunctionTool("f"),))
    assert adapt_to_model(asked, FEATURES, "gpt-5.6").request.generation == config
    told = adapt_with_functions(GenerationConfig(), "gpt-5.6")
    assert told.request.generation.reasoning == ReasoningConfig(ReasoningEffort.NONE)


def test_what_cannot_be_told_how_much_to_think_is_not_told():
    for features in (replace(FEATURES, reasoning_effort=False), replace(FEATURES, efforts=frozenset())):
        adapted = adapt_to_model(ask(tools=(FunctionTool("f"),)), features, "gpt-5.6", together=False)
        assert adapted.unsupported == ()
        assert adapted.changes == ()
    assert adapt_with_functions(GenerationConfig(), "gpt-4o").changes == ()


@pytest.mark.parametrize(("limit", "sent"), [(1, 16), (15, 16), (16, 16), (2**31 - 1, 2**31 - 1), (None, None)])
def test_the_responses_api_has_a_least_output_limit(limit, sent):
    adapted = with_possible_limit(Adapted(ask(generation=GenerationConfig(max_output_tokens=limit, temperature=0))))
    assert adapted.request.generation == GenerationConfig(max_output_tokens=sent, temperature=0)
    assert [change.field for change in adapted.changes] == ["generation.max_output_tokens"] * (limit != sent)
