"""Who says what in a conversation on the wire of Converse."""

import pytest

from llmproxy_grpc.messages import Message, ReasoningPart, Role, TextPart
from llmproxy_grpc.providers.thinking_tokens import redacted_token, signature_token
from tests.providers.conversations import ask
from tests.unit.providers.converse.test_request import NOVA, body


@pytest.mark.parametrize("token", [signature_token("s"), redacted_token("data")])
def test_thinking_that_led_to_nothing_stays_away(token):
    asked, said = (Message(role, (TextPart(text=role.name),)) for role in (Role.USER, Role.ASSISTANT))
    thought = Message(Role.ASSISTANT, (ReasoningPart(text="Hm.", continuity_token=token),))
    turns = body(ask(messages=(asked, thought, asked, said, thought, asked, thought, said, thought)), NOVA)["messages"]
    assert [len(turn["content"]) for turn in turns] == [2, 1, 1, 2]
    assert "reasoningContent" in turns[3]["content"][0]
