"""The kind mistral over a real connection: where it departs from OpenAI, and its own client library."""

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from llmproxy_grpc.messages import (
    EmbedRequest,
    FunctionTool,
    GenerationConfig,
    MediaKind,
    MediaPart,
    Message,
    RefusalPart,
    Role,
    TextPart,
    ToolCallPart,
    ToolChoice,
    ToolMode,
    ToolResultPart,
)
from tests.fakes.faulty_upstream import Answer
from tests.providers.conversations import ask
from tests.providers.kinds.mistral import KIND
from tests.providers.test_golden import GOLDEN, expected

REQUEST = ask(
    messages=(Message(Role.DEVELOPER, (TextPart(text="Be brief."),)), Message(Role.USER, (TextPart(text="Hello?"),))),
    tools=(FunctionTool("weather", "tells", '{"type": "object", "properties": {}}'),),
    tool_choice=ToolChoice(ToolMode.REQUIRED, parallel_tool_calls=False),
    generation=GenerationConfig(max_output_tokens=5, seed=1, stop_sequences=("END",), top_k=3, top_logprobs=2),
    end_user_id="u1",
)


@pytest.fixture
async def client(upstream) -> AsyncIterator[Any]:
    from mistralai.client import Mistral  # noqa: PLC0415 - imports that other tests need not wait for

    async with Mistral(api_key="test-key", server_url=upstream.url) as opened:
        yield opened


async def test_vectors_are_asked_for_in_mistrals_names(upstream, http):
    provider = await KIND.provider(upstream, http)
    upstream.script(Answer.json(b'{"data":[{"index":0,"embedding":[0.25,0.5]}],"usage":{"prompt_tokens":3}}'))
    request = EmbedRequest("m", (TextPart(text="a"),), dimensions=2, end_user_id="u1")
    response = await provider.embed(request, "codestral-embed")
    assert upstream.requests[0].path == "/v1/embeddings"
    assert upstream.requests[0].json() == {"model": "codestral-embed", "input": ["a"], "output_dimension": 2}
    assert [list(vector) for vector in response.vectors] == [[0.25, 0.5]]


@pytest.mark.parametrize(
    ("model", "chooses"), [("mistral-embed", False), ("mistral-embed-2312", False), ("codestral-embed", True)]
)
async def test_the_length_of_vectors_can_be_chosen_where_the_model_can(upstream, http, model, chooses):
    provider = await KIND.provider(upstream, http)
    assert provider.features(model).embed.dimensions is chooses
    assert provider.features(model).tools


async def test_a_request_has_mistrals_names_and_nothing_that_it_refuses(upstream, http):
    upstream.script(KIND.streaming(KIND.stream(["x"], ("1", "1"))))
    provider = await KIND.provider(upstream, http)
    async for _ in provider.stream(provider.adapt(REQUEST, "m").request, "m"):
        pass
    sent = upstream.requests[0].json()
    assert upstream.requests[0].path == "/v1/chat/completions"
    assert (sent["random_seed"], sent["max_tokens"], sent["messages"][0]["role"]) == (1, 5, "system")
    assert not {"seed", "user", "stream_options", "max_completion_tokens"} & sent.keys()


@pytest.mark.parametrize(("temperature", "named"), [(0, []), (1.5, []), (1.6, ["generation.temperature"])])
async def test_a_temperature_that_mistral_refuses_is_named_with_the_range(temperature, named, upstream, http):
    provider = await KIND.provider(upstream, http)
    adapted = provider.adapt(ask(generation=GenerationConfig(temperature=temperature)), "m")
    assert [found.field for found in adapted.unsupported] == named
    assert all(found.message == "this provider takes 0 to 1.5" for found in adapted.unsupported)


def said(message: Any) -> tuple[str, str, list[str]]:
    content = message.content
    chunks = content if isinstance(content, list) else []
    text = content if isinstance(content, str) else "".join(each.text for each in chunks if each.type == "text")
    thinking = "".join(part.text for each in chunks if each.type == "thinking" for part in each.thinking)
    return text or "", thinking, [call.function.name for call in message.tool_calls or ()]


def meant(path) -> tuple[str, str, list[str]]:
    parts = expected(path)["candidates"][0]["parts"]
    text = "".join(part.get("text", "") for part in parts)
    thinking = "".join(part.get("reasoning", "") for part in parts)
    return text, thinking, [part["tool_call"][1] for part in parts if "tool_call" in part]


@pytest.mark.parametrize("path", sorted((GOLDEN / "mistral").glob("*.sse")), ids=lambda path: path.stem)
async def test_the_library_reads_our_streams_to_the_same_meaning(client, upstream, path):
    upstream.script(KIND.streaming([path.read_bytes()]))
    texts, thoughts, calls = "", "", []
    async for event in await client.chat.stream_async(model="m", messages=[{"role": "user", "content": "x"}]):
        text, thinking, called = said(event.data.choices[0].delta)
        texts, thoughts, calls = texts + text, thoughts + thinking, calls + called
    assert (texts, thoughts, calls) == meant(path)


async def test_the_library_writes_the_same_request(client, upstream, http):
    upstream.default = Answer.json(KIND.answer("x"))
    provider = await KIND.provider(upstream, http)
    await provider.chat(provider.adapt(REQUEST, "m").request, "m")
    function = {"name": "weather", "description": "tells", "parameters": {"type": "object", "properties": {}}}
    await client.chat.complete_async(
        model="m",
        messages=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello?"}],
        tools=[{"type": "function", "function": function}],
        tool_choice="required",
        parallel_tool_calls=False,
        max_tokens=5,
        random_seed=1,
        stop=["END"],
        top_k=3,
        logprobs=True,
        top_logprobs=2,
    )
    ours, theirs = (request.json() for request in upstream.requests)
    theirs.pop("stream", None)
    assert ours == theirs


async def sent(upstream, http, *messages: Message) -> list[Any]:
    upstream.script(Answer.json(KIND.answer("x")))
    provider = await KIND.provider(upstream, http)
    await provider.chat(provider.adapt(ask(messages=messages), "m").request, "m")
    return upstream.requests[-1].json()["messages"]


async def test_calls_of_other_providers_get_ids_that_mistral_takes_and_its_own_keep_theirs(upstream, http):
    ids = ("toolu_01A09q90qw90lq917835lq9", "call_0", "D681PevKs", "call_0")
    calls = tuple(ToolCallPart(id=each, name="f", arguments_json="{}") for each in ids[:3])
    turns = (
        Message(Role.USER, (TextPart(text="Go on."),)),
        Message(Role.ASSISTANT, calls),
        Message(Role.TOOL, tuple(ToolResultPart(tool_call_id=each) for each in reversed(ids[:3]))),
        Message(Role.ASSISTANT, (ToolCallPart(id=ids[3], name="f", arguments_json="{}"),)),
        Message(Role.TOOL, (ToolResultPart(tool_call_id=ids[3]),)),
    )
    messages = await sent(upstream, http, *turns)
    called = [call["id"] for message in messages for call in message.get("tool_calls", ())]
    answered = [message["tool_call_id"] for message in messages if message["role"] == "tool"]
    assert all(re.fullmatch("[a-zA-Z0-9]{9}", each) for each in (*called, *answered))
    assert (len(set(called)), called[2]) == (4, "D681PevKs")
    assert answered == [called[2], called[1], called[0], called[3]]
    assert (await sent(upstream, http, *turns[:3])) == messages[:5], "what was sent before stays as it was"


async def test_a_refusal_of_another_provider_is_text_since_mistral_has_no_field_for_it(upstream, http):
    refused = Message(Role.ASSISTANT, (RefusalPart(text="I will not."),))
    user = Message(Role.USER, (TextPart(text="Why?"),))
    messages = await sent(upstream, http, user, refused, user)
    assert messages[1] == {"role": "assistant", "content": "I will not."}


async def test_media_have_mistrals_shapes(upstream, http):
    from mistralai.client.models import UserMessage  # noqa: PLC0415 - imports that other tests need not wait for

    paper = MediaPart(kind=MediaKind.DOCUMENT, data=b"%PDF", media_type="application/pdf", filename="a.pdf")
    parts = (
        MediaPart(kind=MediaKind.IMAGE, data=b"x", media_type="image/png"),
        paper,
        MediaPart(kind=MediaKind.DOCUMENT, uri="https://example.test/a.pdf"),
        MediaPart(kind=MediaKind.DOCUMENT, file_id="f1"),
        MediaPart(kind=MediaKind.AUDIO, data=b"abc", media_type="audio/wav"),
    )
    (message,) = await sent(upstream, http, Message(Role.USER, parts))
    assert message["content"] == [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,eA=="}},
        {"type": "document_url", "document_url": "data:application/pdf;base64,JVBERg==", "document_name": "a.pdf"},
        {"type": "document_url", "document_url": "https://example.test/a.pdf"},
        {"type": "file", "file_id": "f1"},
        {"type": "input_audio", "input_audio": "YWJj"},
    ]
    UserMessage.model_validate(message)
