"""The asynchronous client: the same as `llmproxy_client`, for asyncio; errors and answers are shared."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, ParamSpec, Self, TypeVar

import grpc
from grpc import aio

from llmproxy_client.answer import Answer, Order, text_of
from llmproxy_client.api_key import aio_interceptors
from llmproxy_client.channel import DEFAULT_TARGET, Option, Tls, channel_options, check_target
from llmproxy_client.client import Metadata
from llmproxy_client.dataset.download import Convert, Download, Progress
from llmproxy_client.dataset.export import Tries
from llmproxy_client.dataset.manifest import Manifest
from llmproxy_client.errors import BrokenStream
from llmproxy_client.inputs import inputs
from llmproxy_client.v1.chat_pb2 import ChatRequest, ChatResponse, StreamOptions, StreamRequest, StreamResponse
from llmproxy_client.v1.embed_pb2 import EMBED_PURPOSE_UNSPECIFIED, EmbedPurpose, EmbedResponse
from llmproxy_client.v1.export_pb2 import ExportRequest
from llmproxy_client.v1.llm_proxy_service_pb2_grpc import LlmProxyServiceStub
from llmproxy_client.v1.model_pb2 import CountTokensRequest, CountTokensResponse

if TYPE_CHECKING:  # the asynchronous type of the stub exists for type checkers alone
    from llmproxy_client.v1.llm_proxy_service_pb2_grpc import LlmProxyServiceAsyncStub

_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")

__all__ = ["connect", "stream", "collect", "text", "embed", "count_tokens", "export", "Client", "Metadata"]


class Client:
    """A channel to the proxy and the stub on it; close it, or use it in `async with`. It belongs to one event loop."""

    def __init__(self, channel: aio.Channel) -> None:
        self.channel = channel
        self.stub = LlmProxyServiceStub(channel)

    async def close(self) -> None:
        """Closes the channel and cancels what still runs on it."""
        await self.channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()


def connect(
    target: str = DEFAULT_TARGET,
    *,
    api_key: str | None = None,
    tls: Tls | None = None,
    retries: bool = True,
    options: Sequence[Option] = (),
) -> Client:
    """Opens a client in the running event loop; arguments and errors as in `llmproxy_client.connect`."""
    settings = channel_options(retries=retries, extra=options)
    interceptors = aio_interceptors(api_key) if api_key is not None else None
    if tls is None:
        return Client(aio.insecure_channel(check_target(target), settings, interceptors=interceptors))
    return Client(aio.secure_channel(check_target(target), tls.credentials(), settings, interceptors=interceptors))


async def embed(
    stub: "LlmProxyServiceAsyncStub",
    model: str,
    texts: Iterable[str],
    *,
    purpose: "EmbedPurpose.ValueType" = EMBED_PURPOSE_UNSPECIFIED,
    dimensions: int | None = None,
    timeout: float | None = None,  # noqa: ASYNC109 - as of `stream`
) -> EmbedResponse:
    """Turns texts into vectors; as `llmproxy_client.embed`."""
    return await stub.Embed(inputs(model, texts, purpose=purpose, dimensions=dimensions), timeout=timeout)


async def count_tokens(
    stub: "LlmProxyServiceAsyncStub",
    chat: ChatRequest,
    *,
    timeout: float | None = None,  # noqa: ASYNC109 - as of `stream`
    metadata: Metadata = (),
) -> CountTokensResponse:
    """Says how many tokens a conversation has; as `llmproxy_client.count_tokens`."""
    return await stub.CountTokens(CountTokensRequest(chat=chat), timeout=timeout, metadata=tuple(metadata))


async def export(
    stub: "LlmProxyServiceAsyncStub",
    request: ExportRequest,
    folder: Path | str,
    *,
    restart: bool = False,
    begun_at: float = 0.0,
    convert: Convert | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    on_wait: Callable[[grpc.RpcError, float], None] | None = None,
    timeout: float | None = None,  # noqa: ASYNC109 - as of `stream`
    metadata: Metadata = (),
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Manifest:
    """Exports recorded calls to a folder; as `llmproxy_client.export`. Files are written and converted in a thread."""
    with await _done(Download, request, Path(folder), restart=restart, begun_at=begun_at) as download:
        tries = Tries(own_limit=timeout is None)
        while not download.complete:
            call = stub.Export(download.request(), timeout=timeout, metadata=tuple(metadata))
            try:
                async for message in call:
                    await _done(download.take, message)
                    tries.took(message)
                    if on_progress is not None:
                        on_progress(download.progress())
                if not download.complete:
                    raise BrokenStream("the export ended before its summary")
            except grpc.RpcError as error:
                seconds = tries.wait_after(error)
                if on_wait is not None:
                    on_wait(error, seconds)
                await sleep(seconds)
            finally:
                call.cancel()
        return await _done(download.finish, convert)


async def _done(work: Callable[_Given, _Result], *given: _Given.args, **named: _Given.kwargs) -> _Result:
    """Does work in a thread; who is cancelled meanwhile leaves when it is done, for it cannot be stopped half-way."""
    working = asyncio.ensure_future(asyncio.to_thread(work, *given, **named))
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        await asyncio.wait([working])
        raise


@asynccontextmanager
async def stream(
    stub: "LlmProxyServiceAsyncStub",
    chat: ChatRequest,
    *,
    options: StreamOptions | None = None,
    timeout: float | None = None,  # noqa: ASYNC109 - it is the deadline that the server gets, not a limit on waiting here
    metadata: Metadata = (),
) -> AsyncIterator[AsyncIterable[StreamResponse]]:
    """Gives the events of a stream, and cancels the call when the block ends; as `llmproxy_client.stream`."""
    call = stub.Stream(StreamRequest(chat=chat, options=options), timeout=timeout, metadata=tuple(metadata))
    try:
        yield call
    finally:
        call.cancel()


async def collect(events: AsyncIterable[StreamResponse]) -> ChatResponse:
    """Reads a stream to its end and puts it together; errors as in `llmproxy_client.collect`."""
    answer = Answer()
    async for event in events:
        answer.add(event)
    return answer.response()


async def text(events: AsyncIterable[StreamResponse], *, candidate: int = 0) -> AsyncIterator[str]:
    """Yields the text of one candidate as it comes; errors as in `llmproxy_client.text`."""
    order = Order()
    async for event in events:
        order.check(event)
        if piece := text_of(event, candidate):
            yield piece
    order.require_end()
