"""What a model takes depends on its maker: what it cannot honour is named, never sent."""

import pytest

from llmproxy_grpc.messages import (
    CacheHint,
    FunctionTool,
    GenerationConfig,
    JsonSchemaFormat,
    MediaKind,
    MediaPart,
    Message,
    ReasoningConfig,
    ReasoningEffort,
    Role,
    TextPart,
    ToolCallPart,
    ToolChoice,
    ToolMode,
    ToolResultPart,
)
from llmproxy_grpc.providers.converse.features import adapt_converse, features_of
from llmproxy_grpc.providers.converse.makers import base_id
from tests.providers.conversations import ask

EVERYTHING = ask(
    messages=(Message(Role.USER, (TextPart(text="?", cache_hint=CacheHint()),)),),
    tools=(FunctionTool("f", strict=True),),
    tool_choice=ToolChoice(function_name="f", parallel_tool_calls=False),
    generation=GenerationConfig(
        temperature=0.5,
        top_k=3,
        seed=1,
        reasoning=ReasoningConfig(ReasoningEffort.LOW, 2000),
        response_format=JsonSchemaFormat("a", "{}"),
    ),
)
HINT, STRICT, NAMED = "messages[0].parts[0].cache_hint", "tools[0].function.strict", "tool_choice.function_name"
PARALLEL, SCHEMA = "tool_choice.parallel_tool_calls", "generation.response_format.json_schema"
TEMPERATURE, TOP_K, SEED = "generation.temperature", "generation.top_k", "generation.seed"
EFFORT, BUDGET = "generation.reasoning.effort", "generation.reasoning.budget_tokens"


@pytest.mark.parametrize(
    ("model", "named"),
    [
        ("eu.anthropic.claude-sonnet-4-5-20250929-v1:0", {SEED, BUDGET}),
        ("anthropic.claude-opus-4-1-20250805-v1:0", {SEED, BUDGET, STRICT, PARALLEL, SCHEMA}),
        ("anthropic.claude-3-haiku-20240307-v1:0", {SEED, STRICT, PARALLEL, SCHEMA, EFFORT, BUDGET}),
        ("global.anthropic.claude-opus-4-7", {SEED, STRICT, SCHEMA, TEMPERATURE, TOP_K, BUDGET, EFFORT}),
        ("amazon.nova-pro-v1:0", {SEED, STRICT, PARALLEL, SCHEMA, EFFORT, BUDGET}),
        ("us.amazon.nova-2-lite-v1:0", {SEED, STRICT, PARALLEL, SCHEMA, BUDGET}),
        ("openai.gpt-oss-120b-1:0", {SEED, PARALLEL, HINT, TOP_K, BUDGET}),
        ("meta.llama4-scout-17b-instruct-v1:0", {SEED, STRICT, NAMED, PARALLEL, SCHEMA, HINT, TOP_K, EFFORT, BUDGET}),
        ("mistral.mistral-large-2407-v1:0", {SEED, STRICT, NAMED, PARALLEL, SCHEMA, HINT, TOP_K, EFFORT, BUDGET}),
        ("maker.of-the-future", {SEED, PARALLEL, HINT, TOP_K, EFFORT, BUDGET}),
        ("arn:aws:bedrock:us-east-1:1:application-inference-profile/abc", {SEED, BUDGET}),
    ],
)
def test_what_a_maker_cannot_honour_is_named(model, named):
    assert {found.field for found in adapt_converse(EVERYTHING, model).unsupported} == named


@pytest.mark.parametrize("model", ["deepseek.r1-v1:0", "amazon.titan-text-express-v1"])
def test_models_without_tools_are_named_as_such(model):
    assert "tools" in {found.field for found in adapt_converse(EVERYTHING, model).unsupported}
    assert not features_of(model).tools


@pytest.mark.parametrize(
    ("model", "modes"),
    [
        ("zai.glm-4.6", {ToolMode.AUTO, ToolMode.NONE, ToolMode.REQUIRED}),
        ("cohere.command-r-v1:0", {ToolMode.AUTO, ToolMode.NONE}),
        ("anthropic.claude-sonnet-5-5", {ToolMode.AUTO, ToolMode.NONE}),
    ],
)
def test_what_of_tools_can_be_demanded(model, modes):
    features = features_of(model)
    assert (features.tool_modes, features.named_tool) == (modes, False)


def test_a_thinking_that_cannot_be_turned_off_is_asked_to_be_short():
    config = GenerationConfig(reasoning=ReasoningConfig(ReasoningEffort.NONE))
    adapted = adapt_converse(ask(generation=config), "moonshot.kimi-k2-thinking")
    assert [change.field for change in adapted.changes] == ["generation.reasoning.effort"]
    assert adapted.request.generation.reasoning == ReasoningConfig(ReasoningEffort.MINIMAL)
    assert adapt_converse(ask(generation=config), "deepseek.v3-v1:0").changes == ()


def test_claude_keeps_to_the_rules_that_its_fields_have_with_each_other():
    config = GenerationConfig(max_output_tokens=4000, temperature=0.5, reasoning=ReasoningConfig(budget_tokens=5000))
    adapted = adapt_converse(ask(generation=config), "anthropic.claude-sonnet-4-5-20250929-v1:0")
    assert [found.field for found in adapted.unsupported] == [TEMPERATURE]
    assert [change.field for change in adapted.changes] == [BUDGET]


def test_a_tool_loop_that_began_elsewhere_goes_on_without_thinking():
    config = GenerationConfig(reasoning=ReasoningConfig(budget_tokens=2000))
    call = Message(Role.ASSISTANT, (ToolCallPart(id="a", name="f", arguments_json="{}"),))
    result = Message(Role.TOOL, (ToolResultPart(tool_call_id="a"),))
    request = ask(messages=(*ask().messages, call, result), generation=config)
    adapted = adapt_converse(request, "anthropic.claude-sonnet-4-5-20250929-v1:0")
    assert [change.field for change in adapted.changes] == ["generation.reasoning"]


def test_no_more_cache_hints_are_kept_than_bedrock_takes():
    hints = tuple(TextPart(text=str(n), cache_hint=CacheHint()) for n in range(6))
    adapted = adapt_converse(ask(messages=(Message(Role.USER, hints),)), "amazon.nova-pro-v1:0")
    assert [found.field for found in adapted.unsupported] == [f"messages[0].parts[{n}].cache_hint" for n in (0, 1)]


@pytest.mark.parametrize("model", ["amazon.nova-pro-v1:0", "anthropic.claude-3-7-sonnet-20250219-v1:0"])
def test_a_cache_for_an_hour_is_one_for_five_minutes_where_a_model_keeps_none_so_long(model):
    hour = CacheHint(ttl=3600)
    result = ToolResultPart(tool_call_id="a", content=(TextPart(text="x"), TextPart(text="y", cache_hint=hour)))
    messages = (Message(Role.USER, (TextPart(text="?", cache_hint=hour),)), Message(Role.TOOL, (result,)))
    adapted = adapt_converse(ask(messages=messages), model)
    assert [change.field for change in adapted.changes] == [
        "messages[0].parts[0].cache_hint.ttl",
        "messages[1].parts[0].tool_result.content[1].cache_hint.ttl",
    ]
    assert adapted.request.messages[0].parts[0].cache_hint == CacheHint()
    short = (Message(Role.USER, (TextPart(text="?", cache_hint=CacheHint(ttl=300)),)), Message(Role.TOOL, (result,)))
    assert adapt_converse(ask(messages=short[:1]), model).changes == ()


def test_pictures_come_by_their_bytes_or_from_s3():
    def named(**fields) -> list[str]:
        part = MediaPart(kind=MediaKind.IMAGE, **fields)
        return [found.field for found in adapt_converse(ask(messages=(Message(Role.USER, (part,)),)), "m").unsupported]

    assert named(uri="s3://bucket/a.png") == named(data=b"x", media_type="image/png") == []
    assert named(uri="https://example.test/a.png") == named(data=b"x", media_type="image/tiff") != []


@pytest.mark.parametrize("model", ["anthropic.claude-sonnet-4-5-20250929-v1:0", "amazon.nova-pro-v1:0"])
def test_instructions_are_texts(model):
    picture = MediaPart(kind=MediaKind.IMAGE, data=b"x", media_type="image/png")
    rules = Message(Role.SYSTEM, (TextPart(text="A"), picture))
    adapted = adapt_converse(ask(messages=(rules, *ask().messages)), model)
    assert [found.field for found in adapted.unsupported] == ["messages[0].parts[1].image"]


@pytest.mark.parametrize(
    ("model", "base"),
    [
        ("eu.anthropic.claude-haiku-4-5-20251001-v1:0", "anthropic.claude-haiku-4-5-20251001-v1:0"),
        ("us-gov.anthropic.claude-3-haiku", "anthropic.claude-3-haiku"),
        ("arn:aws:bedrock:us-east-1:1:inference-profile/global.anthropic.claude-x", "anthropic.claude-x"),
        ("anthropic.claude-3-haiku-20240307-v1:0", "anthropic.claude-3-haiku-20240307-v1:0"),
        (
            "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-x",
            "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-x",
        ),
        ("test-model", "test-model"),
    ],
)
def test_a_profile_across_regions_tells_its_model(model, base):
    assert base_id(model) == base


@pytest.mark.parametrize("model", ["amazon.titan-embed-text-v2:0", "us.cohere.embed-v4:0"])
def test_models_that_make_vectors_answer_no_conversations(model):
    features = features_of(model)
    assert features.embed is not None
    assert not features.chat


@pytest.mark.parametrize(
    "model", ["amazon.nova-pro-v1:0", "meta.llama4", "openai.gpt-oss-120b-1:0", "maker.of-the-future"]
)
def test_no_model_takes_a_temperature_above_one(model):
    for temperature, named in ((0, []), (1, []), (1.01, [TEMPERATURE]), (2, [TEMPERATURE])):
        adapted = adapt_converse(ask(generation=GenerationConfig(temperature=temperature, top_p=0.5)), model)
        assert [found.field for found in adapted.unsupported] == named
        assert adapted.request.generation == GenerationConfig(temperature=None if named else temperature, top_p=0.5)


def test_newer_claudes_go_on_from_no_words_of_their_own():
    messages = (*ask().messages, Message(Role.ASSISTANT, (TextPart(text="Well, "),)))
    for model, named in (("global.anthropic.claude-opus-4-7", ["messages[1].role"]), ("amazon.nova-pro-v1:0", [])):
        adapted = adapt_converse(ask(messages=messages), model)
        assert [found.field for found in adapted.unsupported] == named
    older = adapt_converse(ask(messages=messages), "anthropic.claude-sonnet-4-5-20250929-v1:0")
    assert older.request.messages[1].parts == (TextPart(text="Well,"),)


@pytest.mark.parametrize(
    ("model", "named"),
    [
        ("eu.anthropic.claude-sonnet-4-5-20250929-v1:0", {"audio", "video"}),
        ("anthropic.claude-3-haiku-20240307-v1:0", {"audio", "video"}),
        ("global.anthropic.claude-opus-4-7", {"audio", "video"}),
        ("meta.llama4-scout-17b-instruct-v1:0", {"audio", "video"}),
        ("cohere.command-r-plus-v1:0", {"audio", "video"}),
        ("ai21.jamba-1-5-large-v1:0", {"audio", "video"}),
        ("mistral.pixtral-large-2502-v1:0", {"audio", "video"}),
        ("us.deepseek.r1-v1:0", {"audio", "video"}),
        ("us.amazon.nova-pro-v1:0", {"audio"}),
        ("us.amazon.nova-micro-v1:0", {"audio", "video", "image", "document"}),
        ("us.amazon.nova-2-lite-v1:0", set()),
        ("mistral.voxtral-small-24b-2507", set()),
        ("maker.of-the-future", set()),
        ("arn:aws:bedrock:us-east-1:1:application-inference-profile/abc", set()),
        ("arn:aws:bedrock:us-east-1:1:provisioned-model/abc", set()),
        ("arn:aws:bedrock:us-east-1:1:inference-profile/us.anthropic.claude-opus-4-7", {"audio", "video"}),
    ],
)
def test_media_that_a_maker_is_known_not_to_take_are_named(model, named):
    media = (
        MediaPart(kind=MediaKind.IMAGE, data=b"x", media_type="image/png"),
        MediaPart(kind=MediaKind.DOCUMENT, data=b"x", media_type="application/pdf"),
        MediaPart(kind=MediaKind.VIDEO, data=b"x", media_type="video/mp4"),
        MediaPart(kind=MediaKind.AUDIO, data=b"x", media_type="audio/mpeg"),
    )
    adapted = adapt_converse(ask(messages=(Message(Role.USER, (TextPart(text="?"), *media)),)), model)
    assert {found.field.rpartition(".")[2] for found in adapted.unsupported} == named
    assert len(adapted.request.messages[0].parts) == 5 - len(named)
