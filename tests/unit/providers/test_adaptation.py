"""Requests without what a provider lacks: nothing else is touched, and everything left out is named."""

from typing import Any

import pytest
from msgspec.structs import replace

from llmproxy_grpc.messages import (
    CacheHint,
    FunctionTool,
    GenerationConfig,
    JsonObjectFormat,
    JsonSchemaFormat,
    MediaDetail,
    MediaKind,
    MediaPart,
    Message,
    Modality,
    OpaquePart,
    ProviderTool,
    ReasoningConfig,
    ReasoningEffort,
    Role,
    TextPart,
    ToolChoice,
    ToolMode,
    ToolResultPart,
)
from llmproxy_grpc.providers.adaptation import adapt
from llmproxy_grpc.providers.features import PLAIN_SETTINGS, Features, MediaFeature, Place, Source
from llmproxy_grpc.providers.function_names import PLAIN_NAME
from tests.providers.conversations import ask

TEXT = TextPart(text="x")
BARE = Features(names=("bare",))
PICTURE = MediaPart(kind=MediaKind.IMAGE, data=b"x", media_type="image/png")


def left_out(request: Any, features: Features = BARE) -> list[str]:
    return [found.field for found in adapt(request, features).unsupported]


def test_a_plain_request_passes_as_it_is():
    request = ask("Hello?")
    adapted = adapt(request, BARE)
    assert adapted.request is request
    assert adapted.unsupported == ()


def test_everything_that_a_bare_model_lacks_is_named_and_gone():
    request = ask(
        messages=(
            Message(Role.USER, (TextPart(text="x", cache_hint=CacheHint()), PICTURE), "ann"),
            Message(Role.ASSISTANT, (OpaquePart(provider_kind="other", type="t", value={}),)),
            Message(Role.TOOL, (ToolResultPart(tool_call_id="c", content=(TEXT, PICTURE)),)),
        ),
        tools=(FunctionTool("f"),),
        tool_choice=ToolChoice(function_name="f"),
        generation=GenerationConfig(
            stop_sequences=("a",),
            candidate_count=2,
            reasoning=ReasoningConfig(ReasoningEffort.LOW, 5, include=True),
            response_format=JsonObjectFormat(),
            output_modalities=(Modality.TEXT, Modality.AUDIO),
            **{name: {1: 1.0} if name == "logit_bias" else 1 for name in PLAIN_SETTINGS},
        ),
        provider_options={"bare": {"model": "x", "store": True}, "other": {"x": 1}},
    )
    adapted = adapt(request, BARE)
    assert [found.field for found in adapted.unsupported] == [
        "messages[0].parts[0].cache_hint",
        "messages[0].parts[1].image",
        "messages[0].name",
        "messages[1].parts[0].opaque",
        "messages[2].parts[0].tool_result.content[1].image",
        *(f"generation.{name}" for name in PLAIN_SETTINGS),
        "generation.stop_sequences",
        "generation.candidate_count",
        "generation.output_modalities",
        "generation.response_format.json_object",
        "generation.reasoning.effort",
        "generation.reasoning.budget_tokens",
        "generation.reasoning.include",
        "tools",
        "tool_choice.function_name",
        'provider_options["bare"].model',
    ]
    assert all(found.message for found in adapted.unsupported)
    assert adapted.request == ask(
        messages=(
            Message(Role.USER, (TEXT,)),
            Message(Role.ASSISTANT, ()),
            Message(Role.TOOL, (ToolResultPart(tool_call_id="c", content=(TEXT,)),)),
        ),
        generation=GenerationConfig(reasoning=ReasoningConfig(), output_modalities=(Modality.TEXT,)),
        provider_options={"bare": {"store": True}},
    )


@pytest.mark.parametrize("content", [(TEXT,), (TEXT, PICTURE), ()])
def test_that_a_tool_failed_is_told_or_the_caller_is_warned_but_never_refused(content):
    failed = ToolResultPart(tool_call_id="c", content=content, is_error=True)
    adapted = adapt(ask(messages=(Message(Role.TOOL, (failed,)),)), BARE)
    assert [(found.field, found.dropped) for found in adapted.changes] == [
        ("messages[0].parts[0].tool_result.is_error", True)
    ]
    assert not any("is_error" in found.field for found in adapted.unsupported)
    assert adapted.request.messages[0].parts == (replace(failed, content=content[:1], is_error=False),)
    told = ask(messages=(Message(Role.TOOL, (replace(failed, content=(TEXT,)),)),))
    assert adapt(told, Features(names=("x",), result_errors=True)).request is told


def test_what_is_adapted_once_needs_no_second_time():
    request = ask(
        messages=(Message(Role.USER, (TEXT, PICTURE), "ann"),), generation=GenerationConfig(seed=1, temperature=0.0)
    )
    once = adapt(request, BARE).request
    assert adapt(once, BARE).unsupported == ()
    assert adapt(once, BARE).request == once


def test_the_name_of_a_schema_that_is_refused_becomes_one_that_is_taken():
    features = Features(names=("x",), json_schema=True, schema_names=PLAIN_NAME)
    wanted = JsonSchemaFormat("my.answer", "{}")
    adapted = adapt(ask(generation=GenerationConfig(response_format=wanted)), features)
    assert [found.field for found in adapted.changes] == ["generation.response_format.json_schema.name"]
    assert adapted.request.generation.response_format == replace(wanted, name="my_answer")
    for name in ("", "answer"):
        request = ask(generation=GenerationConfig(response_format=replace(wanted, name=name)))
        assert adapt(request, features).request == request


def test_of_functions_with_names_that_are_refused_the_others_remain():
    features = Features(names=("x",), tools=True, function_names=PLAIN_NAME, named_tool=True)
    tools = tuple(FunctionTool(name) for name in ("a", "b.c", "d"))
    adapted = adapt(ask(tools=tools, tool_choice=ToolChoice(function_name="d")), features)
    assert [found.field for found in adapted.unsupported] == ["tools[1].function.name"]
    assert adapted.request.tools == (tools[0], tools[2])
    assert adapted.request.tool_choice == ToolChoice(function_name="d")


def test_seeds_out_of_range_are_named_with_the_range():
    features = Features(names=("x",), settings=frozenset({"seed"}), seeds=range(5))
    (found,) = adapt(ask(generation=GenerationConfig(seed=5)), features).unsupported
    assert (found.field, found.message) == ("generation.seed", "this provider takes seeds from 0 to 4")
    assert left_out(ask(generation=GenerationConfig(seed=4)), features) == []


def test_values_out_of_range_are_named_with_the_range():
    ranges = {"temperature": (0.0, 1.5), "top_k": (1, 500)}
    features = Features(names=("x",), settings=frozenset({"temperature"}), ranges=ranges)
    adapted = adapt(ask(generation=GenerationConfig(temperature=1.6, top_k=501)), features)
    assert [(found.field, found.message) for found in adapted.unsupported] == [
        ("generation.temperature", "this provider takes 0 to 1.5"),
        ("generation.top_k", "this provider has no such setting"),
    ]
    assert adapted.request.generation == GenerationConfig()
    for value in (0.0, 1.5):
        assert left_out(ask(generation=GenerationConfig(temperature=value)), features) == []


def test_a_schema_that_cannot_be_held_becomes_json_where_that_is_known():
    request = ask(generation=GenerationConfig(response_format=JsonSchemaFormat("n", "{}")))
    adapted = adapt(request, Features(names=("x",), json_object=True))
    assert [found.field for found in adapted.unsupported] == ["generation.response_format.json_schema"]
    assert adapted.request.generation.response_format == JsonObjectFormat()


def test_one_candidate_is_what_comes_anyway():
    assert left_out(ask(generation=GenerationConfig(candidate_count=1))) == []


def test_strict_functions_are_named_where_nobody_is_strict():
    features = Features(names=("x",), tools=True)
    strict, lax = FunctionTool("f", strict=True), FunctionTool("g", strict=False)
    adapted = adapt(ask(tools=(strict, lax)), features)
    assert [found.field for found in adapted.unsupported] == ["tools[0].function.strict"]
    assert adapted.request.tools == (FunctionTool("f"), FunctionTool("g"))


def test_functions_are_named_one_by_one_beside_a_tool_of_the_provider():
    tools = (FunctionTool("f"), ProviderTool("bare", "search", {}), ProviderTool("other", "search", {}))
    adapted = adapt(ask(tools=tools, tool_choice=ToolChoice(ToolMode.REQUIRED)), BARE)
    assert [found.field for found in adapted.unsupported] == [
        "tools[0].function",
        "tools[2].provider",
        "tool_choice.mode",
    ]
    assert adapted.request.tools == (tools[1],)


@pytest.mark.parametrize(
    ("choice", "named"),
    [
        (ToolChoice(ToolMode.REQUIRED), ["tool_choice.mode"]),
        (ToolChoice(function_name="f"), ["tool_choice.function_name"]),
        # Nothing is lost of these: nothing is called.
        (ToolChoice(ToolMode.AUTO, parallel_tool_calls=True), []),
        (ToolChoice(ToolMode.NONE), []),
    ],
)
@pytest.mark.parametrize(
    ("features", "tool", "gone"),
    [
        (BARE, FunctionTool("f"), "tools"),
        (BARE, ProviderTool("other", "search", {}), "tools[0].provider"),
        (Features(names=("x",), tools=True, function_names=PLAIN_NAME), FunctionTool("f."), "tools[0].function.name"),
    ],
)
def test_a_demand_for_a_call_is_named_where_no_tool_is_left(choice, named, features, tool, gone):
    adapted = adapt(ask(tools=(tool,), tool_choice=choice), features)
    assert [found.field for found in adapted.unsupported] == [gone, *named]
    assert adapted.request.tool_choice is None


def test_a_choice_without_tools_is_no_choice():
    assert adapt(ask(tool_choice=ToolChoice(ToolMode.NONE)), BARE).request.tool_choice is None


@pytest.mark.parametrize(
    ("part", "feature", "named"),
    [
        (PICTURE, MediaFeature(prompts=Source.DATA), False),
        (PICTURE, MediaFeature(prompts=Source.URI), True),
        (PICTURE, MediaFeature(prompts=Source.DATA, types=frozenset({"image/gif"})), True),
        (PICTURE, MediaFeature(prompts=Source.DATA, types=frozenset({"image/png"})), False),
        (MediaPart(kind=MediaKind.IMAGE, uri="https://x.test/i"), MediaFeature(prompts=Source.URI), False),
        (
            MediaPart(kind=MediaKind.IMAGE, uri="https://x.test/i"),
            MediaFeature(prompts=Source.URI, schemes=frozenset({"s3"})),
            True,
        ),
        (MediaPart(kind=MediaKind.IMAGE, file_id="f"), MediaFeature(prompts=Source.URI | Source.FILE_ID), False),
        (PICTURE, MediaFeature(results=Source.DATA), True),
    ],
)
def test_media_is_named_unless_it_is_taken_so(part, feature, named):
    features = Features(names=("x",), media={MediaKind.IMAGE: feature})
    request = ask(messages=(Message(Role.USER, (TEXT, part)),))
    assert left_out(request, features) == (["messages[0].parts[1].image"] if named else [])


def test_media_in_results_has_a_rule_of_its_own():
    features = Features(names=("x",), media={MediaKind.IMAGE: MediaFeature(results=Source.DATA)})
    request = ask(messages=(Message(Role.TOOL, (ToolResultPart(tool_call_id="c", content=(PICTURE,)),)),))
    assert left_out(request, features) == []
    assert adapt(request, features).request is request


@pytest.mark.parametrize(
    ("detail", "honoured", "named"),
    [
        (MediaDetail.LOW, set(), True),
        (MediaDetail.HIGH, {Place.RESULT}, True),
        (MediaDetail.HIGH, {Place.PROMPT}, False),
        (MediaDetail.UNSPECIFIED, set(), False),
    ],
)
def test_how_closely_to_look_is_named_where_nobody_can_be_told(detail, honoured, named):
    feature = MediaFeature(prompts=Source.DATA, detail=frozenset(honoured))
    features = Features(names=("x",), media={MediaKind.IMAGE: feature})
    picture = replace(PICTURE, detail=detail)
    adapted = adapt(ask(messages=(Message(Role.USER, (TEXT, picture)),)), features)
    assert [found.field for found in adapted.unsupported] == (["messages[0].parts[1].image.detail"] if named else [])
    assert adapted.request.messages[0].parts == (TEXT, PICTURE if named else picture)


def test_how_closely_to_look_at_a_result_has_a_rule_of_its_own():
    feature = MediaFeature(prompts=Source.DATA, results=Source.DATA, detail=frozenset({Place.PROMPT}))
    features = Features(names=("x",), media={MediaKind.IMAGE: feature})
    content = (replace(PICTURE, detail=MediaDetail.LOW),)
    request = ask(messages=(Message(Role.TOOL, (ToolResultPart(tool_call_id="c", content=content),)),))
    assert left_out(request, features) == ["messages[0].parts[0].tool_result.content[0].image.detail"]


@pytest.mark.parametrize(
    ("uri", "data", "media_type"),
    [
        ("data:image/png;base64,eA==", b"x", "image/png"),
        ("DATA:image/png;charset=x;BASE64,eA==", b"x", "image/png"),
        ("data:,a%20b", b"a b", "text/plain"),
    ],
)
def test_a_data_uri_is_bytes(uri, data, media_type):
    features = Features(names=("x",), media={MediaKind.IMAGE: MediaFeature(prompts=Source.DATA)})
    request = ask(messages=(Message(Role.USER, (MediaPart(kind=MediaKind.IMAGE, uri=uri),)),))
    (part,) = adapt(request, features).request.messages[0].parts
    assert part == MediaPart(kind=MediaKind.IMAGE, data=data, media_type=media_type)


@pytest.mark.parametrize("uri", ["data:image/png;base64,???", "data:image/png;base64"])
def test_a_data_uri_that_cannot_be_read_is_no_bytes(uri):
    features = Features(names=("x",), media={MediaKind.IMAGE: MediaFeature(prompts=Source.DATA)})
    request = ask(messages=(Message(Role.USER, (MediaPart(kind=MediaKind.IMAGE, uri=uri),)),))
    assert left_out(request, features) == ["messages[0].parts[0].image"]


@pytest.mark.parametrize(
    ("asked", "known", "given"),
    [
        (ReasoningEffort.MINIMAL, (ReasoningEffort.NONE, ReasoningEffort.LOW, ReasoningEffort.HIGH), "LOW"),
        (ReasoningEffort.MAX, (ReasoningEffort.LOW, ReasoningEffort.HIGH), "HIGH"),
        (ReasoningEffort.MEDIUM, (ReasoningEffort.LOW, ReasoningEffort.HIGH), "LOW"),
        (ReasoningEffort.NONE, (ReasoningEffort.LOW, ReasoningEffort.HIGH), "LOW"),
        (ReasoningEffort.LOW, (ReasoningEffort.NONE, ReasoningEffort.HIGH), "HIGH"),
    ],
)
def test_an_effort_that_is_not_known_becomes_the_nearest_and_is_said(asked, known, given):
    features = Features(names=("bare",), reasoning_effort=True, efforts=frozenset(known))
    adapted = adapt(ask(generation=GenerationConfig(reasoning=ReasoningConfig(asked))), features)
    assert adapted.request.generation.reasoning == ReasoningConfig(ReasoningEffort[given])
    assert adapted.unsupported == ()
    (change,) = adapted.changes
    assert change.field == "generation.reasoning.effort"
    assert given in change.message


def test_an_effort_that_is_known_is_no_change():
    features = Features(names=("bare",), reasoning_effort=True)
    request = ask(generation=GenerationConfig(reasoning=ReasoningConfig(ReasoningEffort.MAX)))
    adapted = adapt(request, features)
    assert (adapted.request, adapted.changes) == (request, ())
