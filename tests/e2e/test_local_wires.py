"""The embedded model's server speaks four APIs: every adapter against a real peer."""

import json

import pytest
import pytest_asyncio

from llmproxy_grpc.config.schema import ProviderConfig
from llmproxy_grpc.errors import ModelNotFound, ProxyError
from llmproxy_grpc.messages import (
    EmbedRequest,
    FinishReason,
    GenerationConfig,
    Message,
    Role,
    TextPart,
    UsageSource,
)
from llmproxy_grpc.providers import registry
from llmproxy_grpc.providers.http import HttpClient
from llmproxy_grpc.providers.local import LocalProvider, available
from tests.providers.conversations import ask, assembled, collected

MODEL = "smollm2-135m"
PROMPT = ask(
    messages=(
        Message(Role.SYSTEM, (TextPart(text="You are brief."),)),
        Message(Role.USER, (TextPart(text="Say hello."),)),
        Message(Role.ASSISTANT, (TextPart(text="Hello!"),)),
        Message(Role.USER, (TextPart(text="And now say goodbye."),)),
    ),
    generation=GenerationConfig(max_output_tokens=12, temperature=0.0),
)
KINDS = {
    "chat": {"kind": "openai", "base_url": "http://localhost/v1", "preset": "llama-cpp"},
    "responses": {"kind": "openai", "base_url": "http://localhost/v1", "preset": "llama-cpp", "api": "responses"},
    "messages": {"kind": "anthropic", "base_url": "http://localhost"},
}

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.skipif(
        not available(), reason="embedded model not installable here: its runtime or its weights are missing"
    ),
]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def http():
    """Connections to the socket of a model of our own."""
    local = LocalProvider.from_config(ProviderConfig(name="local", kind="local", context_size=1024), http=None)
    await local._process.ready()
    client = HttpClient(connect_timeout=3, unix_path=str(local._process.socket_path))
    yield client
    await client.aclose()
    await local.aclose()


@pytest.fixture(params=KINDS)
def provider(request, http):
    return registry.build(ProviderConfig(name="peer", **KINDS[request.param]), http)


def said(response) -> str:
    (candidate,) = response.candidates
    return "".join(part.text for part in candidate.message.parts if isinstance(part, TextPart))


async def test_chat_and_stream_say_the_same_and_count_alike(provider):
    adapted = provider.adapt(PROMPT, MODEL)
    assert adapted.unsupported == ()
    answered = await provider.chat(adapted.request, MODEL)
    streamed = assembled(await collected(provider.stream(adapted.request, MODEL)))
    assert said(answered) == said(streamed) != ""
    for response in (answered, streamed):
        usage = response.usage
        assert usage is not None
        assert usage.source is UsageSource.PROVIDER
        assert usage.input_tokens > 10
        assert 0 < usage.output_tokens <= 12
    assert answered.usage.input_tokens == streamed.usage.input_tokens


async def test_every_api_gives_one_answer_to_one_prompt(http):
    answers = set()
    counts = set()
    for fields in KINDS.values():
        provider = registry.build(ProviderConfig(name="peer", **fields), http)
        response = await provider.chat(provider.adapt(PROMPT, MODEL).request, MODEL)
        answers.add(said(response))
        counts.add(response.usage.input_tokens)
    assert len(answers) == 1
    assert len(counts) == 1


async def test_the_output_limit_is_told_apart_where_the_api_tells(provider):
    short = ask("Count from one to one hundred.", generation=GenerationConfig(max_output_tokens=3, temperature=0.0))
    response = await provider.chat(provider.adapt(short, MODEL).request, MODEL)
    # By the Responses API this server says `completed` even where the limit cut it.
    assert response.candidates[0].finish_reason in {FinishReason.MAX_TOKENS, FinishReason.STOP}
    assert response.usage.output_tokens <= 3


async def test_tokens_are_counted_before_as_they_are_counted_after(http):
    for name in ("chat", "messages"):
        provider = registry.build(ProviderConfig(name="peer", **KINDS[name]), http)
        request = provider.adapt(PROMPT, MODEL).request
        assert await provider.count_tokens(request, MODEL) == (await provider.chat(request, MODEL)).usage.input_tokens


async def test_vectors_come_by_the_same_connection(http):
    provider = registry.build(ProviderConfig(name="peer", **KINDS["chat"]), http)
    inputs = tuple(TextPart(text=text) for text in ("a cat", "a train", "a cat"))
    one, two, again = (await provider.embed(EmbedRequest("m", inputs), MODEL)).vectors
    assert one == again != two


async def test_models_are_listed_and_a_probe_passes(provider):
    assert MODEL in [model.name for model in await provider.list_models()]
    await provider.probe()


async def test_what_the_server_refuses_is_an_error_of_ours(provider):
    endless = ask("word " * 5000)
    with pytest.raises(ProxyError) as caught:
        await provider.chat(provider.adapt(endless, MODEL).request, MODEL)
    assert not isinstance(caught.value, ModelNotFound)
    assert caught.value.reason == "CONTEXT_LENGTH_EXCEEDED", json.dumps(str(caught.value.fault))
