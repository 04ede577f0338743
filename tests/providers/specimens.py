"""One working provider of each kind, for the contract that all of them keep."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

from llmproxy_grpc.config.schema import ProviderConfig
from llmproxy_grpc.providers.echo import EchoProvider
from llmproxy_grpc.providers.http import HttpClient
from llmproxy_grpc.providers.openai import OpenAiProvider
from llmproxy_grpc.providers.provider import Provider
from tests.fakes.faulty_upstream import Answer, FaultyUpstream, Request, openai_answer, openai_stream


@dataclass(frozen=True)
class Specimen:
    """A kind: how to open a provider of it that works, and one of its models."""

    kind: str
    model: str
    open: Callable[[], AbstractAsyncContextManager[Provider]]


@asynccontextmanager
async def _openai() -> AsyncIterator[Provider]:
    async with FaultyUpstream() as upstream:
        upstream.handler = _answer
        http = HttpClient(connect_timeout=1)
        config = ProviderConfig(name="specimen", kind="openai", base_url=f"{upstream.url}/v1", api_key="test-key")
        provider = OpenAiProvider.from_config(config, http)
        yield provider
        await provider.aclose()
        await http.aclose()


def _answer(request: Request) -> Answer:
    if request.method == "GET":
        return Answer.json(b'{"object":"list","data":[{"id":"test-model","object":"model"}]}')
    asked = request.json()
    text = asked["messages"][-1]["content"]
    if asked.get("stream"):
        return Answer.stream(openai_stream(text.split(" ") if text else text))
    return Answer.json(openai_answer("".join(text.split(" "))))


@asynccontextmanager
async def _echo() -> AsyncIterator[Provider]:
    http = HttpClient(connect_timeout=1)
    provider = EchoProvider.from_config(ProviderConfig(name="specimen", kind="echo"), http)
    yield provider
    await provider.aclose()
    await http.aclose()


SPECIMENS = (Specimen("openai", "test-model", _openai), Specimen("echo", "echo", _echo))
