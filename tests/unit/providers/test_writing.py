"""Which requests take long to write: by all that is in them, not by the number of their messages alone."""

import pytest

from llmproxy_grpc.aside import MANY
from llmproxy_grpc.messages import (
    EmbedRequest,
    MediaKind,
    MediaPart,
    Message,
    OpaquePart,
    Part,
    ProviderTool,
    ReasoningPart,
    Role,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from llmproxy_grpc.providers.writing import is_long, written
from tests.providers.conversations import ask
from tests.unit.test_aside import thread_of

HI = TextPart(text="Hi")
FEW, LARGE = MANY // 2, 1_048_576
VALUES = {"a": [{"b": {"c": 1.0}} for _ in range(MANY // 3)]}


def one(*parts: Part) -> list[Message]:
    return [Message(Role.ASSISTANT, parts)]


LONG = {
    "messages": ask(*["Hi"] * MANY),
    "parts": ask(messages=one(*[HI] * MANY)),
    "parts of results": ask(messages=one(*[ToolResultPart(tool_call_id="1", content=(HI,) * FEW)] * 2)),
    "options": ask(provider_options={"openai": VALUES}),
    "an opaque part": ask(messages=one(OpaquePart(provider_kind="x", type="t", value=VALUES))),
    "tools": ask(tools=(ProviderTool(provider_kind="x", type="t", config=VALUES),)),
    "text": ask("x" * LARGE),
    "thinking": ask(messages=one(ReasoningPart(text="x" * LARGE))),
    "arguments": ask(messages=one(ToolCallPart(id="1", name="f", arguments_json="x" * LARGE))),
    "a picture": ask(messages=one(MediaPart(kind=MediaKind.IMAGE, data=b"x" * LARGE))),
    "little of all": ask(messages=one(*[HI] * FEW), provider_options={"openai": {"a": [1.0] * FEW}}),
    "inputs": EmbedRequest("m", (HI,) * MANY),
    "options of inputs": EmbedRequest("m", (HI,), provider_options={"openai": VALUES}),
}
SHORT = [
    ask("Hi"),
    ask(messages=[*one(*[HI] * FEW), *one(MediaPart(kind=MediaKind.IMAGE, uri="https://example.test"))]),
    ask("x" * (LARGE // 2), provider_options={"openai": {"a": [1.0] * (FEW // 2)}}),
    EmbedRequest("m", (HI,) * (MANY - 1)),
]


@pytest.mark.parametrize("request_", LONG.values(), ids=LONG)
async def test_a_long_request_is_written_in_another_thread(request_):
    assert is_long(request_)
    assert await written(thread_of, request_) is not thread_of()


@pytest.mark.parametrize("request_", SHORT)
async def test_a_short_request_is_written_at_once(request_):
    assert not is_long(request_)
    assert await written(thread_of, request_) is thread_of()
