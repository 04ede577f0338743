"""The kind cohere over a real connection: lists, vectors, failures, plans that go back, and its own SDK."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from llmproxy_grpc.errors import (
    CapabilityNotSupported,
    CredentialsRejected,
    InvalidRequest,
    UpstreamServerError,
    UpstreamStreamBroken,
)
from llmproxy_grpc.messages import (
    Capability,
    EmbedRequest,
    FinishReason,
    FunctionTool,
    GenerationConfig,
    Message,
    ReasoningConfig,
    Role,
    TextPart,
    ToolResultPart,
    Usage,
)
from tests.fakes.faulty_upstream import Answer
from tests.providers.conversations import ask, assembled, collected
from tests.providers.http_kind import sse
from tests.providers.kinds.cohere import KIND, vectors
from tests.providers.test_golden import GOLDEN, expected

FOLDER = GOLDEN / "cohere"


@pytest.fixture
async def client(upstream) -> AsyncIterator[Any]:
    from cohere import AsyncClientV2  # noqa: PLC0415 - a second of imports that other tests need not wait for

    async with AsyncClientV2(api_key="test-key", base_url=upstream.url) as opened:
        yield opened


async def test_models_are_listed_page_by_page(upstream, http):
    upstream.script(
        Answer.json(
            b'{"models":[{"name":"command-a","endpoints":["chat"],"features":["tools"],"context_length":256000}],'
            b'"next_page_token":"n/1"}'
        ),
        Answer.json(b'{"models":[{"name":"embed-v4.0","endpoints":["embed"]},{"name":"old"},{}]}'),
    )
    command, embed, old = await (await KIND.provider(upstream, http)).list_models()
    assert (command.max_input_tokens, command.capabilities) == (256000, {Capability.CHAT, Capability.TOOLS})
    assert (embed.capabilities, old.capabilities) == ({Capability.EMBED}, None)
    assert upstream.requests[1].path == "/v1/models?page_size=1000&page_token=n%2F1"


async def test_a_source_that_comes_behind_its_text_belongs_to_it(upstream, http):
    def event(kind: str, **message: Any) -> bytes:
        return sse({"type": kind, "index": 0, "delta": {"message": message}})

    source = {"start": 0, "end": 2, "sources": [{"type": "document", "id": "d"}]}
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    frames = [
        event("content-start", content={"type": "text", "text": ""}),
        event("content-delta", content={"text": "So."}),
        sse({"type": "content-end", "index": 0}),
        event("citation-start", citations=source),
        event("tool-call-start", tool_calls=call),
        event("citation-start", citations={**source, "end": 3}),
        sse({"type": "message-end", "delta": {"finish_reason": "TOOL_CALL"}}),
    ]
    upstream.script(KIND.streaming(frames))
    cohere = await KIND.provider(upstream, http)
    answer = assembled(await collected(cohere.stream(ask(tools=(FunctionTool("f"),)), "m")))
    text, called = answer.candidates[0].message.parts
    assert (text.text, called.name) == ("So.", "f")
    assert [(each.uri, each.start_offset, each.end_offset) for each in text.citations] == [("d", 0, 2), ("d", 0, 3)]


async def test_vectors_come_from_models_that_make_them(upstream, http):
    cohere = await KIND.provider(upstream, http)
    request = EmbedRequest("m", (TextPart(text="a"), TextPart(text="bb")))
    with pytest.raises(CapabilityNotSupported):
        await cohere.embed(request, "command-a")
    upstream.handler = lambda asked: Answer.json(vectors(asked))
    answer = await cohere.embed(request, "embed-v4.0")
    assert [list(vector) for vector in answer.vectors] == [[1, 0.5], [2, 0.5]]
    assert answer.usage.input_tokens == 3


@pytest.mark.parametrize(("output", "kind"), [([], UpstreamServerError), (["One"], UpstreamStreamBroken)])
@pytest.mark.parametrize("reason", ["ERROR", "TIMEOUT"])
async def test_an_answer_that_says_it_failed_is_none(upstream, http, output, kind, reason):
    frames = KIND.stream(output, None)[:-1]
    ending = {"finish_reason": reason, "usage": {"tokens": {"input_tokens": 5.0, "output_tokens": 2.0}}}
    whole = {"id": "a", "message": {"role": "assistant", "content": [{"type": "text", "text": "".join(output)}]}}
    upstream.script(
        KIND.streaming([*frames, sse({"type": "message-end", "delta": ending})]),
        Answer.json(json.dumps(whole | ending).encode()),
    )
    provider = await KIND.provider(upstream, http)
    with pytest.raises(kind) as streamed:
        await collected(provider.stream(ask(), "m"))
    with pytest.raises(kind) as at_once:
        await provider.chat(ask(), "m")
    assert streamed.value.usage == at_once.value.usage == Usage(5, 2, 7)


@pytest.mark.parametrize(("status", "kind"), [(498, CredentialsRejected), (422, InvalidRequest)])
async def test_errors_are_messages(upstream, http, status, kind):
    upstream.script(Answer.json(b'{"id":"e1","message":"invalid"}', status=status))
    with pytest.raises(kind):
        await (await KIND.provider(upstream, http)).chat(ask(), "m")


@pytest.mark.parametrize("shown", [True, False])
async def test_a_plan_goes_back_as_the_plan_that_it_was(upstream, http, shown):
    config = GenerationConfig(reasoning=ReasoningConfig(include=shown))
    request = ask(tools=(FunctionTool("weather"), FunctionTool("now")), generation=config)
    cohere = await KIND.provider(upstream, http)
    stream = KIND.streaming([(FOLDER / "plan_and_parallel_calls.sse").read_bytes()])
    upstream.script(stream, Answer.json(KIND.answer("Done.")))
    said = assembled(await collected(cohere.stream(request, "m"))).candidates[0].message
    assert (getattr(said.parts[0], "text", "") == "I will look.") == shown
    results = tuple(
        ToolResultPart(tool_call_id=name, content=(TextPart(text="42"),)) for name in ("weather_1", "now_2")
    )
    second = ask(messages=(*request.messages, said, Message(Role.TOOL, results)), tools=request.tools)
    await cohere.chat(cohere.adapt(second, "m").request, "m")
    sent = upstream.requests[-1].json()["messages"][1]
    assert sent["tool_plan"] == "I will look."
    assert [call["function"]["arguments"] for call in sent["tool_calls"]] == ['{"city": "Paris"}', "{}"]


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.sse")), ids=lambda path: path.stem)
async def test_the_sdk_reads_our_streams_to_the_same_meaning(client, upstream, path):
    upstream.script(KIND.streaming([path.read_bytes()]))
    text, plan, thinking, calls, reason = "", "", "", [], ""
    async for event in client.chat_stream(model="m", messages=[{"role": "user", "content": "x"}]):
        message = getattr(getattr(event, "delta", None), "message", None)
        if event.type == "content-delta":
            text += message.content.text or ""
            thinking += getattr(message.content, "thinking", None) or ""
        elif event.type == "tool-plan-delta":
            plan += message.tool_plan
        elif event.type == "tool-call-start":
            calls.append([message.tool_calls.id, message.tool_calls.function.name, ""])
        elif event.type == "tool-call-delta":
            calls[-1][2] += message.tool_calls.function.arguments
        elif event.type == "message-end":
            reason = event.delta.finish_reason
    (candidate,) = expected(path)["candidates"]
    assert text == "".join(part.get("text", "") for part in candidate["parts"])
    assert plan + thinking == "".join(part.get("reasoning", "") for part in candidate["parts"])
    assert calls == [part["tool_call"] for part in candidate["parts"] if "tool_call" in part]
    assert reason == candidate["raw_finish_reason"]


async def test_the_sdk_writes_the_same_request(client, upstream, http):
    upstream.default = Answer.json(KIND.answer("x"))
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    request = ask(
        messages=(Message(Role.SYSTEM, (TextPart(text="Be brief."),)), Message(Role.USER, (TextPart(text="Hello?"),))),
        tools=(FunctionTool("weather", "tells", json.dumps(schema)),),
        generation=GenerationConfig(max_output_tokens=5, seed=1, top_k=3),
    )
    provider = await KIND.provider(upstream, http)
    await provider.chat(provider.adapt(request, "m").request, "m")
    function = {"name": "weather", "description": "tells", "parameters": schema}
    await client.chat(
        model="m",
        messages=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello?"}],
        tools=[{"type": "function", "function": function}],
        max_tokens=5,
        seed=1,
        k=3,
    )
    ours, theirs = upstream.requests
    assert (ours.json(), ours.path) == (theirs.json(), theirs.path)


@pytest.mark.parametrize(("shown", "tokens"), [(True, ["Hm", "m", "Hi"]), (False, ["Hi"])], ids=["shown", "hidden"])
async def test_thinking_that_nobody_sees_has_no_log_probabilities_to_be_seen(upstream, http, shown, tokens):
    message = {"content": [{"type": "thinking", "thinking": "Hmm"}, {"type": "text", "text": "Hi"}]}
    logprobs = [{"text": text, "logprobs": [-0.5]} for text in ("Hm", "m", "Hi")]
    answer = {"finish_reason": "COMPLETE", "message": message, "logprobs": logprobs}
    upstream.script(Answer.json(json.dumps(answer).encode()))
    provider = await KIND.provider(upstream, http)
    asked = ask(generation=GenerationConfig(top_logprobs=0, reasoning=ReasoningConfig(include=shown)))
    (candidate,) = (await provider.chat(asked, "m")).candidates
    assert [each.token for each in candidate.logprobs] == tokens


async def test_a_message_that_ends_without_a_reason_has_none_made_up(upstream, http):
    frames = [sse({"type": "content-delta", "delta": {"message": {"content": {"text": "Hi"}}}})]
    upstream.script(KIND.streaming([*frames, sse({"type": "message-end", "delta": {}})]))
    answer = assembled(await collected((await KIND.provider(upstream, http)).stream(ask(), "m")))
    candidate = answer.candidates[0]
    assert (candidate.finish_reason, candidate.raw_finish_reason) == (FinishReason.STOP, "")
