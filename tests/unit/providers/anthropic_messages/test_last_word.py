"""A conversation that ends with the model's own words."""

import pytest

from llmproxy_grpc.messages import Message, OpaquePart, ReasoningPart, Role, TextPart
from llmproxy_grpc.providers.anthropic_messages.features import adapt_messages
from tests.providers.conversations import ask

OLD, NEW, FOREIGN = "claude-sonnet-4-5", "claude-opus-4-6", "qwen3"
THOUGHT = ReasoningPart(text="Hm.", continuity_token=b"s:sig")
PAUSED = OpaquePart(provider_kind="anthropic", type="server_tool_use", value={"id": "srvtoolu_1"})


def said(role: Role, *parts: str | ReasoningPart | OpaquePart) -> Message:
    return Message(role, tuple(TextPart(text=part) if isinstance(part, str) else part for part in parts))


ASKED, SAID = said(Role.USER, "?"), said(Role.ASSISTANT, "Well, ")


@pytest.mark.parametrize(
    ("messages", "named"),
    [
        ((ASKED, SAID), ["messages[1].role"]),
        ((ASKED, SAID, said(Role.ASSISTANT, THOUGHT)), ["messages[1].role"]),
        ((ASKED, SAID, said(Role.ASSISTANT, "so", " ")), ["messages[2].role", "messages[1].role"]),
        ((ASKED, SAID, said(Role.SYSTEM, "Be brief.")), ["messages[1].role"]),
        ((ASKED, SAID, ASKED), []),
        ((ASKED, said(Role.ASSISTANT, "I search.", PAUSED)), []),
        ((ASKED, said(Role.ASSISTANT, THOUGHT)), []),
    ],
)
def test_newer_models_go_on_from_no_words_of_their_own(messages, named):
    adapted = adapt_messages(ask(messages=messages), NEW)
    assert [found.field for found in adapted.unsupported] == named
    assert [bool(message.parts) for message in adapted.request.messages] == [
        f"messages[{turn}].role" not in named for turn in range(len(messages))
    ]
    for model in (OLD, FOREIGN):
        assert adapt_messages(ask(messages=messages), model).unsupported == ()


def test_older_models_go_on_from_words_without_white_space_behind_them():
    adapted = adapt_messages(ask(messages=(ASKED, said(Role.ASSISTANT, "A, ", "B \n", " "))), OLD)
    assert adapted.request.messages[1] == said(Role.ASSISTANT, "A, ", "B", " ")
    assert [change.field for change in adapted.changes] == ["messages[1].parts[1]"]
    for kept, model in (
        ((ASKED, said(Role.ASSISTANT, "A")), OLD),
        ((ASKED, SAID), FOREIGN),
        ((ASKED, SAID, ASKED), OLD),
    ):
        request = ask(messages=kept)
        assert adapt_messages(request, model).request.messages == kept
