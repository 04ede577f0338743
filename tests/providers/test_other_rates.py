"""Answers that say that they cost other than the standard rates: a tier of service, or a fee for a tool."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.fakes.faulty_upstream import Answer
from tests.providers.conversations import ask, assembled, collected
from tests.providers.http_kind import HttpKind, sse
from tests.providers.kinds import HTTP_KINDS

KINDS = {kind.name: kind for kind in HTTP_KINDS}
Fields = dict[str, Any]
SEARCH = {"type": "web_search_call", "id": "ws_1", "status": "completed"}


def top(**fields: Any) -> Callable[[Fields], None]:
    return lambda answer: answer.update(fields)


def used(name: str, **fields: Any) -> Callable[[Fields], None]:
    return lambda answer: answer[name].update(fields)


@pytest.mark.parametrize(
    ("name", "change", "other"),
    [
        ("openai", top(), False),
        ("openai", top(service_tier="default"), False),
        ("openai", top(service_tier=None), False),
        ("openai", top(service_tier=["flex"]), False),
        ("openai", top(service_tier="on_demand"), False),
        ("openai", top(service_tier="flex"), True),
        ("openai", top(service_tier="priority"), True),
        ("azure", top(service_tier="priority"), True),
        ("responses", top(service_tier="default"), False),
        ("responses", top(service_tier="flex"), True),
        ("responses", lambda answer: answer["output"].insert(0, SEARCH), True),
        ("anthropic", used("usage", service_tier="standard", server_tool_use={"web_search_requests": 0}), False),
        ("anthropic", used("usage", server_tool_use=None, speed="standard", inference_geo="not_available"), False),
        ("anthropic", used("usage", server_tool_use={"web_fetch_requests": 2}), False),
        ("anthropic", used("usage", server_tool_use={"web_search_requests": 1}), True),
        ("anthropic", used("usage", service_tier="priority"), True),
        ("anthropic", used("usage", speed="fast"), True),
        ("anthropic", used("usage", inference_geo="us"), True),
        ("gemini", used("usageMetadata", serviceTier="standard", trafficType="ON_DEMAND"), False),
        ("gemini", used("usageMetadata", serviceTier="flex"), True),
        ("gemini", used("usageMetadata", trafficType="PROVISIONED_THROUGHPUT"), True),
        ("gemini", lambda answer: answer["candidates"][0].update(groundingMetadata={"webSearchQueries": []}), False),
        ("gemini", lambda answer: answer["candidates"][0].update(groundingMetadata={"webSearchQueries": ["x"]}), True),
        ("bedrock", top(serviceTier={"type": "default"}, performanceConfig={"latency": "standard"}), False),
        ("bedrock", top(serviceTier={"type": "priority"}), True),
        ("bedrock", top(performanceConfig={"latency": "optimized"}), True),
    ],
)
async def test_an_answer_tells_whether_the_standard_rates_hold(name, change, other, upstream, http):
    kind = KINDS[name]
    answer = json.loads(kind.answer("Hi"))
    change(answer)
    upstream.script(Answer.json(json.dumps(answer).encode()))
    provider = await kind.provider(upstream, http)
    usage = (await provider.chat(ask(), kind.model)).usage
    assert usage is not None
    assert usage.at_other_rates is other


def changed(kind: HttpKind, change: Callable[[Fields], None]) -> list[bytes]:
    """The frames of a stream, after a change to each of them."""
    frames = []
    for frame in kind.stream(["One", " two"], ("5", "7")):
        text = frame.decode().partition("data: ")[2].strip()
        if not text.startswith("{"):
            frames.append(frame)
            continue
        event = json.loads(text)
        change(event)
        frames.append(sse(event))
    return frames


def whole_response(event: Fields) -> None:
    if event["type"] == "response.completed":
        event["response"]["service_tier"] = "flex"


def first_message(event: Fields) -> None:
    if event["type"] == "message_start":
        event["message"].setdefault("usage", {})["service_tier"] = "priority"


@pytest.mark.parametrize(
    ("name", "change"),
    [("openai", top(service_tier="flex")), ("responses", whole_response), ("anthropic", first_message)],
)
async def test_so_does_a_stream(name, change, upstream, http):
    kind = KINDS[name]
    provider = await kind.provider(upstream, http)
    for frames, other in ((kind.stream(["One", " two"], ("5", "7")), False), (changed(kind, change), True)):
        upstream.script(kind.streaming(frames))
        usage = assembled(await collected(provider.stream(ask(), kind.model))).usage
        assert usage is not None
        assert usage.at_other_rates is other
