"""Conversations of which nothing would be left to answer: refused, whatever the caller lets be dropped."""

from typing import Any

import pytest

from llmproxy_grpc.config.schema import ProviderConfig
from llmproxy_grpc.messages import (
    MediaKind,
    MediaPart,
    Message,
    OpaquePart,
    Part,
    ReasoningPart,
    RefusalPart,
    Role,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from llmproxy_grpc.providers import registry
from llmproxy_grpc.providers.features import Blank
from llmproxy_grpc.providers.http import HttpClient
from llmproxy_grpc.providers.left_to_answer import with_something_to_answer
from llmproxy_grpc.providers.provider import Adapted, Unsupported
from tests.providers.conversations import ask

CALL = ToolCallPart(id="1", name="f", arguments_json="{}")
THOUGHT = ReasoningPart(text="Hm.")
VIDEO = MediaPart(kind=MediaKind.VIDEO, data=b"x", media_type="video/mp4")
FOREIGN = OpaquePart(provider_kind="another", type="t", value={})
BLANK = "messages[0].parts[0].text"
MODELS = {
    "openai": "gpt-4.1",
    "responses": "gpt-4.1",
    "anthropic": "claude-opus-4-7",
    "bedrock": "anthropic.claude-opus-4-7",
    "gemini": "gemini-3-pro-preview",
    "cohere": "command-a",
    "mistral": "mistral-large-latest",
    "ollama": "qwen3",
}


def said(role: Role, *parts: Part | str) -> Message:
    return Message(role, tuple(TextPart(text=part) if isinstance(part, str) else part for part in parts))


async def adapted_by(kind: str, *messages: Message) -> Adapted:
    http = HttpClient(connect_timeout=1)
    fields: dict[str, Any] = {"name": "x", "kind": kind, "api_key": "test-key"}
    if kind == "responses":
        fields |= {"kind": "openai", "api": "responses"}
    if kind == "bedrock":
        fields["region"] = "x"
    provider = registry.build(ProviderConfig.model_validate(fields), http)
    adapted = provider.adapt(ask(messages=messages), MODELS[kind])
    await http.aclose()
    return with_something_to_answer(adapted, lambda: provider.features(MODELS[kind]).blank)


def essential(adapted: Adapted) -> list[str]:
    return [found.field for found in adapted.unsupported if found.essential]


@pytest.mark.parametrize(
    ("kinds", "messages", "named"),
    [
        (MODELS, [said(Role.USER, FOREIGN)], ["messages[0].parts[0].opaque"]),
        (MODELS.keys() - {"gemini"}, [said(Role.USER, VIDEO, " \n")], ["messages[0].parts[0].video"]),
        # The model's own last words, and its first.
        (("anthropic", "bedrock", "mistral"), [said(Role.ASSISTANT, "Hello.")], ["messages[0].role"]),
        (("anthropic", "bedrock"), [said(Role.USER, ""), said(Role.ASSISTANT, "Hello.")], ["messages[1].role"]),
        # A call without a result, also if thinking led to it.
        (
            MODELS.keys() - {"cohere", "ollama"},
            [said(Role.ASSISTANT, THOUGHT, CALL)],
            ["messages[0].parts[1].tool_call"],
        ),
        (
            ("gemini", "bedrock"),
            [said(Role.ASSISTANT, CALL), Message(Role.TOOL, (ToolResultPart("1"),))],
            ["messages[0].role", "messages[1].parts[0].tool_result"],
        ),
        # Nothing but white space, where that is refused.
        (("anthropic", "bedrock"), [said(Role.USER, " \n")], [BLANK]),
        (("anthropic", "bedrock", "gemini", "cohere"), [said(Role.USER, "")], [BLANK]),
        (("anthropic", "bedrock"), [said(Role.SYSTEM, ""), said(Role.USER, "", "")], ["messages[1].parts[1].text"]),
        (("anthropic", "bedrock"), [said(Role.USER, ""), said(Role.ASSISTANT, THOUGHT)], [BLANK]),
        (("anthropic", "bedrock"), [said(Role.ASSISTANT, THOUGHT)], ["messages"]),
    ],
)
async def test_what_emptied_the_conversation_cannot_be_dropped(kinds, messages, named):
    for kind in sorted(kinds):
        assert (kind, essential(await adapted_by(kind, *messages))) == (kind, named)


@pytest.mark.parametrize(
    ("kinds", "messages"),
    [
        (MODELS, [said(Role.USER, FOREIGN, "Hi.")]),
        (MODELS, [said(Role.USER, "Hi."), said(Role.ASSISTANT, FOREIGN)]),
        (MODELS, [said(Role.USER, "Hi."), said(Role.ASSISTANT, CALL)]),
        (MODELS, [said(Role.ASSISTANT, "Hello."), said(Role.USER, "Hi.")]),
        # Instructions alone are the user's words where there have to be some.
        (MODELS, [said(Role.SYSTEM, "Write a poem."), said(Role.USER, FOREIGN)]),
        (MODELS, [said(Role.SYSTEM, "Write a poem."), said(Role.USER, "")]),
        (MODELS, [said(Role.SYSTEM, "Write a poem."), said(Role.ASSISTANT, THOUGHT)]),
        # What a vendor takes, or may take, is not ours to refuse.
        (MODELS.keys() - {"anthropic", "bedrock"}, [said(Role.USER, " ")]),
        (("openai", "responses", "mistral", "ollama"), [said(Role.USER, "")]),
    ],
)
async def test_where_something_is_left_all_else_may_be_dropped(kinds, messages):
    for kind in sorted(kinds):
        assert (kind, essential(await adapted_by(kind, *messages))) == (kind, [])


async def test_thoughts_alone_are_no_words_before_the_users():
    adapted = await adapted_by("bedrock", said(Role.ASSISTANT, THOUGHT), said(Role.USER, "Hi."))
    assert adapted.unsupported == ()
    adapted = await adapted_by("anthropic", said(Role.SYSTEM, "Write a poem."), said(Role.ASSISTANT, THOUGHT))
    assert [change.field for change in adapted.changes] == ["messages[0].role"]


def test_what_is_no_part_of_the_conversation_has_not_emptied_it():
    fields = ("messages[0].parts[0].cache_hint", "messages[0].name", "generation.top_k", "tools")
    unsupported = tuple(Unsupported(field, "no") for field in fields)
    adapted = Adapted(ask(messages=(said(Role.USER, RefusalPart(text=" ")),)), unsupported)
    assert with_something_to_answer(adapted, lambda: Blank.EMPTY) is adapted
    assert essential(with_something_to_answer(adapted, lambda: Blank.NONE)) == [BLANK.replace("text", "refusal")]
