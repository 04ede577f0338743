"""Two turns with tools at the relatives of Chat Completions: calls and thinking go back as each of them wants them."""

import json
from typing import Any, NamedTuple

import pytest

from llmproxy_grpc.config.schema import ProviderConfig
from llmproxy_grpc.messages import (
    FunctionTool,
    GenerationConfig,
    Message,
    ReasoningConfig,
    Role,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from llmproxy_grpc.providers import registry
from tests.fakes.faulty_upstream import Answer
from tests.providers.conversations import ask, assembled, collected
from tests.providers.http_kind import sse

TOOL = FunctionTool("weather", "tells", '{"type": "object", "properties": {"city": {"type": "string"}}}')
CITIES = ("Paris", "Rome")
THOUGHT = "Two cities, two calls."


class Vendor(NamedTuple):
    """One vendor: its configuration, its ids of calls, where its thinking is, and what has to come back of it."""

    config: dict[str, Any]
    ids: tuple[str, str]
    thinking: dict[str, Any]
    replayed: dict[str, Any]
    content: list[dict[str, Any]] | None = None


VENDORS = {
    "mistral": Vendor(
        {"kind": "mistral"},
        ("D681PevKs", "D681PevKt"),
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": THOUGHT}], "signature": "c2lnbmVk"}]},
        {},
        [{"type": "thinking", "thinking": [{"type": "text", "text": THOUGHT}], "signature": "c2lnbmVk"}],
    ),
    "xai": Vendor(
        {"kind": "openai", "preset": "xai"},
        ("call_83726105", "call_83726106"),
        {"content": "", "reasoning_content": THOUGHT},
        {},
    ),
    "deepseek": Vendor(
        {"kind": "openai", "preset": "deepseek"},
        ("call_00_4pTzK9Yf6YmrKpKqjYQ3Zt", "call_01_Hs8Ee2cMhwXq1Qk9cGJ0Ab"),
        {"content": "", "reasoning_content": THOUGHT},
        {"reasoning_content": THOUGHT},
    ),
}


def call(vendor: Vendor, number: int) -> dict[str, Any]:
    arguments = json.dumps({"city": CITIES[number]})
    return {"id": vendor.ids[number], "type": "function", "function": {"name": "weather", "arguments": arguments}}


def called(vendor: Vendor, *, stream: bool) -> Answer:
    """Two parallel calls behind some thinking."""
    calls = [call(vendor, number) for number in (0, 1)]
    usage = {"prompt_tokens": 20, "completion_tokens": 30, "total_tokens": 50}
    if not stream:
        message = {"role": "assistant", **vendor.thinking, "tool_calls": calls}
        choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
        return Answer.json(json.dumps({"choices": [choice], "usage": usage}).encode())
    numbered = [{**each, "index": index} for index, each in enumerate(calls)]
    deltas = [{"role": "assistant", "content": ""}, vendor.thinking, {"tool_calls": numbered}, {}]
    choices = [{"index": 0, "delta": delta, "finish_reason": None if delta else "tool_calls"} for delta in deltas]
    chunks = [{"choices": [choice]} for choice in choices]
    return Answer.stream([sse(chunk) for chunk in (*chunks, {"choices": [], "usage": usage})] + [sse("[DONE]")])


def said(*, stream: bool) -> Answer:
    if stream:
        chunk = {"choices": [{"index": 0, "delta": {"content": "Sunny."}, "finish_reason": "stop"}]}
        return Answer.stream([sse(chunk), sse("[DONE]")])
    message = {"role": "assistant", "content": "Sunny."}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return Answer.json(json.dumps({"choices": [choice]}).encode())


@pytest.mark.parametrize("stream", [False, True], ids=["chat", "stream"])
@pytest.mark.parametrize("shown", [True, False], ids=["shown", "hidden"])
@pytest.mark.parametrize("vendor", VENDORS.values(), ids=VENDORS)
async def test_a_tool_loop_of_two_turns(upstream, http, vendor, shown, stream):
    provider = registry.build(ProviderConfig(name="p", base_url=upstream.url, api_key="k", **vendor.config), http)

    async def answer(*messages: Message) -> Message:
        settings = GenerationConfig(reasoning=ReasoningConfig(include=shown))
        adapted = provider.adapt(ask(messages=messages, tools=(TOOL,), generation=settings), "m")
        assert adapted.unsupported == ()
        if stream:
            return assembled(await collected(provider.stream(adapted.request, "m"))).candidates[0].message
        return (await provider.chat(adapted.request, "m")).candidates[0].message

    question = Message(Role.USER, (TextPart(text="Paris and Rome?"),))
    upstream.script(called(vendor, stream=stream), said(stream=stream))
    asking = await answer(question)
    calls = [part for part in asking.parts if isinstance(part, ToolCallPart)]
    assert [part.id for part in calls] == list(vendor.ids)
    results = tuple(ToolResultPart(tool_call_id=part.id, content=(TextPart(text="21 °C"),)) for part in calls)
    assert (await answer(question, asking, Message(Role.TOOL, results))).parts == (TextPart(text="Sunny."),)

    user, assistant, *heard = upstream.requests[-1].json()["messages"]
    assert user == {"role": "user", "content": "Paris and Rome?"}
    assert assistant["tool_calls"] == [call(vendor, number) for number in (0, 1)]
    replayed = {name: value for name, value in assistant.items() if name not in {"role", "content", "tool_calls"}}
    assert (replayed, assistant["content"]) == (vendor.replayed, vendor.content)
    assert heard == [{"role": "tool", "tool_call_id": each, "content": "21 °C"} for each in vendor.ids]
