from typing import Any

import pytest

from llmproxy_grpc.messages import (
    CacheHint,
    FunctionTool,
    GenerationConfig,
    JsonObjectFormat,
    JsonSchemaFormat,
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
from llmproxy_grpc.providers.chat_completions.features import features_of
from llmproxy_grpc.providers.chat_completions.quirks import (
    COMPATIBLE,
    OPENAI,
    OPENAI_RESPONSES,
    CacheStyle,
    Quirks,
    ReasoningStyle,
)
from llmproxy_grpc.providers.openai_models import adapt_to_model
from tests.providers.conversations import ask
from tests.unit.providers.chat_completions.encoding import messages

TEXT = TextPart(text="x")


def fields(request: Any, quirks: Quirks = OPENAI, kinds: tuple[str, ...] = ("openai",)) -> list[str]:
    features = features_of(quirks, kinds)
    found = (adapt_to_model(request, features, "m") if quirks.openai_models else adapt(request, features)).unsupported
    assert all(each.message for each in found)
    return [each.field for each in found]


def of_settings(quirks: Quirks = OPENAI, **settings: Any) -> list[str]:
    return fields(ask(generation=GenerationConfig(**settings)), quirks)


def of_part(part: Any, quirks: Quirks = OPENAI, role: Role = Role.USER) -> list[str]:
    return fields(ask(messages=(Message(Role.USER, (TEXT,)), Message(role, (TEXT, part)))), quirks)


def test_an_ordinary_request_is_supported_whole():
    request = ask(
        messages=(Message(Role.SYSTEM, (TEXT,)), Message(Role.USER, (TEXT,), "ann")),
        tools=(FunctionTool("f"), ProviderTool("openai", "custom", {})),
        tool_choice=ToolChoice(ToolMode.REQUIRED, parallel_tool_calls=True),
        generation=GenerationConfig(
            max_output_tokens=1,
            temperature=0.0,
            seed=1,
            stop_sequences=("a", "b", "c", "d"),
            candidate_count=2,
            top_logprobs=1,
            logit_bias={1: 1.0},
            presence_penalty=1.0,
            reasoning=ReasoningConfig(ReasoningEffort.HIGH, include=False),
            response_format=JsonSchemaFormat("n", "{}"),
            output_modalities=(Modality.TEXT,),
        ),
        provider_options={"openai": {"store": False}, "anthropic": {"model": "theirs"}},
    )
    assert fields(request) == []


@pytest.mark.parametrize(
    ("settings", "quirks", "field"),
    [
        ({"top_k": 1}, OPENAI, "top_k"),
        ({"stop_sequences": tuple("abcde")}, OPENAI, "stop_sequences"),
        ({"seed": 0}, Quirks(seed=False), "seed"),
        ({"candidate_count": 2}, Quirks(n=False), "candidate_count"),
        ({"presence_penalty": 0.0}, Quirks(penalties=False), "presence_penalty"),
        ({"frequency_penalty": 0.0}, Quirks(penalties=False), "frequency_penalty"),
        ({"top_logprobs": 0}, Quirks(logprobs=False), "top_logprobs"),
        ({"logit_bias": {1: 1.0}}, Quirks(logit_bias=False), "logit_bias"),
        ({"output_modalities": (Modality.TEXT, Modality.AUDIO)}, OPENAI, "output_modalities"),
        ({"response_format": JsonSchemaFormat("", "{}")}, Quirks(json_schema=False), "response_format.json_schema"),
        ({"reasoning": ReasoningConfig(budget_tokens=1)}, OPENAI, "reasoning.budget_tokens"),
        ({"reasoning": ReasoningConfig(include=True)}, OPENAI, "reasoning.include"),
        (
            {"reasoning": ReasoningConfig(ReasoningEffort.LOW)},
            Quirks(reasoning=ReasoningStyle.UNSUPPORTED),
            "reasoning.effort",
        ),
    ],
)
def test_a_setting_that_the_vendor_lacks_is_named(settings, quirks, field):
    assert of_settings(quirks, **settings) == [f"generation.{field}"]


def test_one_candidate_is_what_every_vendor_gives():
    assert of_settings(Quirks(n=False), candidate_count=1) == []


def test_json_without_a_schema_needs_no_schema_support():
    assert of_settings(Quirks(json_schema=False), response_format=JsonObjectFormat()) == []


def test_a_vendor_with_reasoning_objects_takes_a_budget():
    assert of_settings(Quirks(reasoning=ReasoningStyle.OBJECT), reasoning=ReasoningConfig(budget_tokens=1)) == []


@pytest.mark.parametrize(
    ("part", "name"),
    [
        (MediaPart(kind=MediaKind.VIDEO, uri="https://example.test/v"), "video"),
        (MediaPart(kind=MediaKind.IMAGE, file_id="f"), "image"),
        (MediaPart(kind=MediaKind.AUDIO, uri="https://example.test/a"), "audio"),
        (MediaPart(kind=MediaKind.AUDIO, file_id="f"), "audio"),
        (MediaPart(kind=MediaKind.AUDIO, data=b"x", media_type="audio/ogg"), "audio"),
        (MediaPart(kind=MediaKind.DOCUMENT, uri="https://example.test/d"), "document"),
        (OpaquePart(provider_kind="anthropic", type="x", value={}), "opaque"),
        (TextPart(text="x", cache_hint=CacheHint()), "cache_hint"),
    ],
)
def test_content_that_cannot_be_sent_is_named_and_left_out(part, name):
    assert of_part(part) == [f"messages[1].parts[1].{name}"]
    assert messages(Message(Role.USER, (part,)))[0]["content"] in ("", "x")


@pytest.mark.parametrize(
    "part",
    [
        MediaPart(kind=MediaKind.IMAGE, data=b"x", media_type="image/png"),
        MediaPart(kind=MediaKind.IMAGE, uri="https://example.test/i"),
        MediaPart(kind=MediaKind.AUDIO, data=b"x", media_type="audio/wav"),
        MediaPart(kind=MediaKind.DOCUMENT, data=b"x", media_type="application/pdf"),
        MediaPart(kind=MediaKind.DOCUMENT, file_id="f"),
        OpaquePart(provider_kind="openai", type="x", value={}),
    ],
)
def test_content_that_can_be_sent_is_not_named(part):
    assert of_part(part) == []


def test_what_more_a_vendor_takes_is_not_named():
    quirks = Quirks(video=True, document_uri=True, cache_hints=CacheStyle.CONTROL)
    assert of_part(MediaPart(kind=MediaKind.VIDEO, uri="https://example.test/v", cache_hint=CacheHint()), quirks) == []
    assert of_part(MediaPart(kind=MediaKind.DOCUMENT, uri="https://example.test/v"), quirks) == []
    assert of_part(MediaPart(kind=MediaKind.VIDEO, file_id="f"), quirks) == ["messages[1].parts[1].video"]


def test_a_picture_by_its_address_is_named_where_bytes_alone_are_taken():
    quirks = Quirks(image_uri=False)
    assert of_part(MediaPart(kind=MediaKind.IMAGE, uri="https://example.test/i"), quirks) == [
        "messages[1].parts[1].image"
    ]
    assert of_part(MediaPart(kind=MediaKind.IMAGE, uri="data:image/png;base64,eA=="), quirks) == []


def test_documents_that_are_no_pdf_are_named_where_the_vendor_takes_pdf_alone():
    notes = MediaPart(kind=MediaKind.DOCUMENT, data=b"x", media_type="text/plain; charset=utf-8")
    assert of_part(notes, OPENAI) == ["messages[1].parts[1].document"]
    assert of_part(notes, OPENAI_RESPONSES) == of_part(notes, COMPATIBLE) == []


def test_media_in_a_tool_result_is_named_by_its_whole_path():
    picture = MediaPart(kind=MediaKind.IMAGE, data=b"x", media_type="image/png")
    result = ToolResultPart(tool_call_id="c", content=(TEXT, picture))
    assert of_part(result, role=Role.TOOL) == ["messages[1].parts[1].tool_result.content[1].image"]


def test_the_error_flag_of_a_tool_result_is_told_by_its_text():
    assert of_part(ToolResultPart(tool_call_id="c", content=(TEXT,), is_error=True), role=Role.TOOL) == []


def test_tools_that_the_vendor_cannot_call_are_named():
    assert fields(ask(tools=(FunctionTool("f"),)), Quirks(tools=False)) == ["tools"]
    assert fields(ask(tools=(FunctionTool("f"), ProviderTool("gemini", "x", {})))) == ["tools[1].provider"]


@pytest.mark.parametrize(
    ("choice", "named"),
    [
        (ToolChoice(ToolMode.AUTO), []),
        (ToolChoice(ToolMode.NONE), []),
        (ToolChoice(ToolMode.REQUIRED), ["tool_choice.mode"]),
        (ToolChoice(function_name="f"), ["tool_choice.function_name"]),
        (ToolChoice(parallel_tool_calls=False), ["tool_choice.parallel_tool_calls"]),
    ],
)
def test_a_choice_of_tools_that_the_vendor_ignores_is_named(choice, named):
    quirks = Quirks(tool_choice=False, parallel_tool_calls=False)
    assert fields(ask(tools=(FunctionTool("f"),), tool_choice=choice), quirks) == named


def test_a_name_is_named_where_messages_have_none():
    request = ask(messages=(Message(Role.USER, (TEXT,), "ann"),))
    assert fields(request, Quirks(message_name=False)) == ["messages[0].name"]


def test_options_that_are_never_merged_are_named():
    request = ask(provider_options={"openai": {"model": "x", "store": True}, "groq": {"api_key": "x"}})
    assert fields(request, COMPATIBLE, ("openai", "groq")) == [
        'provider_options["openai"].model',
        'provider_options["groq"].api_key',
    ]


@pytest.mark.parametrize(
    ("effort", "told"), [(ReasoningEffort.LOW, [("generation.reasoning.effort", True)]), (ReasoningEffort.NONE, [])]
)
def test_of_an_effort_and_a_budget_a_vendor_may_take_one_alone_and_none_is_within_any_budget(effort, told):
    features = features_of(Quirks(reasoning=ReasoningStyle.OBJECT), ("openai",))
    both = ask(generation=GenerationConfig(reasoning=ReasoningConfig(effort, 9)))
    adapted = adapt(both, features)
    assert adapted.unsupported == ()
    assert [(change.field, change.dropped) for change in adapted.changes] == told
