"""Names of participants are sent where they are taken, and named where not."""

import pytest

from llmproxy_grpc.messages import Message, Role, TextPart, ToolResultPart
from llmproxy_grpc.providers.chat_completions.names import with_possible_names
from llmproxy_grpc.providers.provider import Adapted
from tests.providers.conversations import ask

REFUSED = ["Ann Lee", "a\u2003b", "<ann>", "a|b", "a\\b", "a/b", "x" * 65]


@pytest.mark.parametrize("name", ["ann", "Ünï-cödé.7", "x" * 64, *REFUSED])
def test_openai_takes_names_without_white_space_and_some_signs(name):
    messages = (*ask().messages, Message(Role.USER, (TextPart(text="?"),), name))
    adapted = with_possible_names(Adapted(ask(messages=messages)), openai=True)
    assert [found.field for found in adapted.unsupported] == ["messages[1].name"] * (name in REFUSED)
    assert adapted.request.messages[1].name == ("" if name in REFUSED else name)
    assert with_possible_names(Adapted(ask(messages=messages)), openai=False).request.messages == messages


@pytest.mark.parametrize("openai", [True, False])
def test_the_name_of_a_tools_message_has_no_place(openai):
    result = Message(Role.TOOL, (ToolResultPart(tool_call_id="a"),), "search")
    adapted = with_possible_names(Adapted(ask(messages=(result,))), openai=openai)
    assert [found.field for found in adapted.unsupported] == ["messages[0].name"]
    assert adapted.request.messages == (Message(Role.TOOL, result.parts),)
