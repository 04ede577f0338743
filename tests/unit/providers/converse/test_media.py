"""Media that Converse refuses where they stand are named, and not sent."""

import pytest

from llmproxy_grpc.messages import (
    MediaKind,
    MediaPart,
    Message,
    OpaquePart,
    Role,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from llmproxy_grpc.providers.converse.features import adapt_converse
from tests.providers.conversations import ask
from tests.unit.providers.converse.test_request import CLAUDE, NOVA

PAPER = MediaPart(kind=MediaKind.DOCUMENT, data=b"%PDF", media_type="application/pdf")
TEXT, BLANK = TextPart(text="What is it?"), TextPart(text=" \n")
CLAUDE_NEW = "anthropic.claude-opus-4-6-v1"
CALLED = Message(Role.ASSISTANT, (ToolCallPart(id="a", name="f", arguments_json="{}"),))
FOREIGN = OpaquePart(provider_kind="another", type="thing", value={})


def picture(uri: str, media_type: str = "") -> MediaPart:
    return MediaPart(kind=MediaKind.IMAGE, uri=uri, media_type=media_type)


def named(*messages: Message, model: str = NOVA) -> list[str]:
    return [found.field for found in adapt_converse(ask(messages=messages), model).unsupported]


@pytest.mark.parametrize(
    ("part", "taken"),
    [
        (picture("s3://bucket/a.png"), True),
        (picture("s3://bucket/a", "image/png"), True),
        (picture("s3://bucket/a"), False),
        (picture("s3://my.bucket/a"), False),
        (picture("s3://bucket/a.tiff", "image/tiff"), False),
        (picture("s3://bucket/a.pdf"), False),
    ],
)
def test_media_of_a_format_that_nothing_tells_are_named(part, taken):
    asked = Message(Role.USER, (FOREIGN, TEXT, part))
    assert named(asked) == ["messages[0].parts[0].opaque", *["messages[0].parts[2].image"] * (not taken)]
    result = ToolResultPart(tool_call_id="a", content=(FOREIGN, TEXT, part))
    path = "messages[2].parts[0].tool_result.content"
    adapted = adapt_converse(ask(messages=(*ask().messages, CALLED, Message(Role.TOOL, (result,)))), NOVA)
    assert [found.field for found in adapted.unsupported] == [f"{path}[0].opaque", *[f"{path}[2].image"] * (not taken)]
    assert len(adapted.request.messages[2].parts[0].content) == 1 + taken


@pytest.mark.parametrize("model", [NOVA, CLAUDE])
def test_a_document_wants_a_text_beside_it(model):
    assert named(Message(Role.USER, (PAPER,)), model=model) == ["messages[0].parts[0].document"]
    assert named(Message(Role.USER, (BLANK, PAPER)), model=model) == ["messages[0].parts[1].document"]
    assert named(Message(Role.USER, (PAPER, TEXT)), model=model) == []
    apart = (Message(Role.USER, (PAPER,)), Message(Role.SYSTEM, (TEXT,)), Message(Role.USER, (TEXT,)))
    assert named(*apart, model=model) == []
    said = Message(Role.ASSISTANT, (TEXT,))
    assert named(apart[2], said, apart[0], said, apart[2], model=model) == ["messages[2].parts[0].document"]


def test_a_document_in_a_result_stands_alone():
    result = Message(Role.TOOL, (ToolResultPart(tool_call_id="a", content=(PAPER,)),))
    assert named(*ask().messages, CALLED, result) == []


def test_what_is_left_of_a_result_has_the_callers_numbers():
    odd = picture("s3://bucket/a")
    result = ToolResultPart(tool_call_id="a", content=(FOREIGN, odd, TEXT))
    adapted = adapt_converse(ask(messages=(*ask().messages, CALLED, Message(Role.TOOL, (result,)))), NOVA)
    path = "messages[2].parts[0].tool_result.content"
    assert adapted.request.messages[2].parts[0].content == (TEXT,)
    assert adapted.path(path, 0) == f"{path}[2]"


def test_who_speaks_first_and_last_counts_without_media_that_are_left_out():
    asked, said = Message(Role.USER, (TEXT,)), Message(Role.ASSISTANT, (TEXT,))
    alone = Message(Role.USER, (PAPER,))
    assert named(alone, said, asked) == ["messages[0].parts[0].document", "messages[1].role"]
    assert named(asked, said, alone, model=CLAUDE_NEW) == ["messages[2].parts[0].document", "messages[1].role"]


def test_documents_have_their_text_in_the_turn_that_is_sent():
    alone, asked = Message(Role.USER, (PAPER,)), Message(Role.USER, (TEXT,))
    assert named(asked, CALLED, alone, asked) == ["messages[1].parts[0].tool_call"]
    assert named(asked, alone, CALLED, asked) == ["messages[2].parts[0].tool_call"]
    assert named(alone, CALLED, asked) == ["messages[1].parts[0].tool_call"]


def test_instructions_that_the_user_says_instead_are_words():
    rules, paper = Message(Role.SYSTEM, (TEXT,)), Message(Role.SYSTEM, (PAPER,))
    adapted = adapt_converse(ask(messages=(rules, paper)), NOVA)
    assert [found.field for found in adapted.unsupported] == ["messages[1].parts[0].document"]
    assert [message.role for message in adapted.request.messages if message.parts] == [Role.USER]
    both = Message(Role.SYSTEM, (TEXT, PAPER))
    adapted = adapt_converse(ask(messages=(both, Message(Role.USER, (picture("s3://bucket/a"),)))), NOVA)
    assert [found.field for found in adapted.unsupported] == [
        "messages[1].parts[0].image",
        "messages[0].parts[1].document",
    ]
    assert adapted.request.messages[0] == Message(Role.USER, (TEXT,))
    adapted = adapt_converse(ask(messages=(rules, Message(Role.USER, (PAPER,)))), NOVA)
    assert [message.role for message in adapted.request.messages if message.parts] == [Role.USER]
