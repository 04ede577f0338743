"""Encoding takes time in proportion to a conversation: no caller may hold up a worker with many small messages."""

import gc
import time
from collections.abc import Callable, Iterator, Sequence

import pytest

from llmproxy_grpc.messages import (
    MediaKind,
    MediaPart,
    Message,
    OpaquePart,
    Part,
    ReasoningPart,
    Role,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from llmproxy_grpc.providers.http import HttpClient
from llmproxy_grpc.providers.provider import Provider
from llmproxy_grpc.server.validation.bounds import MAX_MESSAGES
from tests.fakes.faulty_upstream import FaultyUpstream
from tests.fakes.threads import ran_beside
from tests.providers.conversations import ask, collected
from tests.providers.http_kind import HttpKind
from tests.providers.kinds import HTTP_KINDS

FEW = MAX_MESSAGES // 10
HI = TextPart(text="Hi")
DOCUMENT = MediaPart(kind=MediaKind.DOCUMENT, data=b"x", media_type="application/pdf", filename="same.pdf")


def user(*parts: Part) -> Message:
    return Message(Role.USER, parts)


def said(*parts: Part) -> Message:
    return Message(Role.ASSISTANT, parts)


def call_and_result(number: int) -> tuple[Message, Message]:
    result = ToolResultPart(tool_call_id=f"call {number % 7}", name="f", content=(HI,))
    call = ToolCallPart(id=f"call {number % 7}", name="f", arguments_json="{}")
    return said(ReasoningPart(text="Hm.", continuity_token=b"s:x"), call), Message(Role.TOOL, (result,))


SHAPES: dict[str, Callable[[int], Sequence[Message]]] = {
    "user messages": lambda count: [user(HI)] * count,
    "turns": lambda count: [user(HI), said(HI)] * (count // 2),
    "instructions": lambda count: [user(HI), *[Message(Role.SYSTEM, (HI,))] * count],
    "calls": lambda count: [user(HI), *(each for number in range(count // 2) for each in call_and_result(number))],
    "calls at once": lambda count: [
        said(*(ToolCallPart(id=f"call_{number}", name="f", arguments_json="{}") for number in range(count))),
        Message(Role.TOOL, tuple(ToolResultPart(tool_call_id=f"call_{number}") for number in range(count))),
    ],
    "documents of one name": lambda count: [user(DOCUMENT)] * count,
    "blocks of others": lambda count: [user(HI, OpaquePart(provider_kind="x", type="t", value={}))] * count,
}


@pytest.fixture(autouse=True)
def _no_collection() -> Iterator[None]:
    # The collector walks over all that the other tests have left, whenever it likes.
    gc.disable()
    yield
    gc.enable()


async def seconds(provider: Provider, model: str, messages: Sequence[Message]) -> float:
    request = ask(messages=(*messages, user(HI)))
    start = time.process_time()
    await provider.chat(provider.adapt(request, model).request, model)
    return time.process_time() - start


@pytest.mark.parametrize("stream", [False, True], ids=["chat", "stream"])
async def test_a_long_conversation_is_written_beside_the_loop(kind, provider, upstream, monkeypatch, stream):
    beside = ran_beside(monkeypatch, provider._wire, "encode")
    upstream.handler = kind.respond
    for count in (2, FEW):
        request = provider.adapt(ask(messages=(*SHAPES["turns"](count), user(HI))), kind.model).request
        await (collected(provider.stream(request, kind.model)) if stream else provider.chat(request, kind.model))
    assert beside == [False, True]


async def test_many_values_in_few_messages_are_written_beside_the_loop(kind, provider, upstream, monkeypatch):
    beside = ran_beside(monkeypatch, provider._wire, "encode")
    upstream.handler = kind.respond
    names = provider.features(kind.model).names
    options = {name: {"metadata": {"values": [1.0] * FEW}} for name in names}
    await provider.chat(provider.adapt(ask(provider_options=options), kind.model).request, kind.model)
    assert beside == [True]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", HTTP_KINDS, ids=lambda kind: kind.name)
async def test_ten_times_the_messages_take_no_more_than_some_ten_times_as_long(
    kind: HttpKind, shape: str, upstream: FaultyUpstream, http: HttpClient
):
    provider = await kind.provider(upstream, http)
    upstream.handler = kind.respond
    await seconds(provider, kind.model, SHAPES[shape](2))  # pays for what is made once
    few = await seconds(provider, kind.model, SHAPES[shape](FEW))
    assert await seconds(provider, kind.model, SHAPES[shape](MAX_MESSAGES)) < 30 * few
