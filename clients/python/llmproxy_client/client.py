"""The synchronous client: a channel with its stub, and streams that end when their block ends."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Self

import grpc

from llmproxy_client.answer import Answer, Order, text_of
from llmproxy_client.api_key import ApiKey
from llmproxy_client.channel import DEFAULT_TARGET, Option, Tls, channel_options, check_target
from llmproxy_client.inputs import inputs
from llmproxy_client.v1.chat_pb2 import ChatRequest, ChatResponse, StreamOptions, StreamRequest, StreamResponse
from llmproxy_client.v1.embed_pb2 import EMBED_PURPOSE_UNSPECIFIED, EmbedPurpose, EmbedResponse
from llmproxy_client.v1.llm_proxy_service_pb2_grpc import LlmProxyServiceStub
from llmproxy_client.v1.model_pb2 import CountTokensRequest, CountTokensResponse

Metadata = Sequence[tuple[str, str | bytes]]


class Client:
    """A channel to the proxy and the stub on it; close it, or use it in `with`. Threads may share it."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.channel = channel
        self.stub = LlmProxyServiceStub(channel)

    def close(self) -> None:
        """Closes the channel and cancels what still runs on it."""
        self.channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def connect(
    target: str = DEFAULT_TARGET,
    *,
    api_key: str | None = None,
    tls: Tls | None = None,
    retries: bool = True,
    options: Sequence[Option] = (),
) -> Client:
    """Opens a client; the connection itself is made by the first call.

    Args:
        target: `HOST:PORT`, `unix:PATH`, or any other name that gRPC resolves.
        api_key: Sent with every call that does not bring `authorization` metadata of its own. Without TLS it travels
            in the clear.
        tls: How to use TLS, `Tls()` for the authorities that come with gRPC; None means plaintext.
        retries: Whether calls that end UNAVAILABLE before their first message are repeated, as the proxy permits.
        options: Channel options of gRPC; they win over ours.

    Raises:
        ValueError: The target or the key cannot be meant, or a file of `tls` holds something else.
        OSError: A file of `tls` cannot be read.
    """
    settings = channel_options(retries=retries, extra=options)
    if tls is None:
        channel = grpc.insecure_channel(check_target(target), options=settings)
    else:
        channel = grpc.secure_channel(check_target(target), tls.credentials(), options=settings)
    return Client(grpc.intercept_channel(channel, ApiKey(api_key)) if api_key is not None else channel)


def embed(
    stub: LlmProxyServiceStub,
    model: str,
    texts: Iterable[str],
    *,
    purpose: "EmbedPurpose.ValueType" = EMBED_PURPOSE_UNSPECIFIED,
    dimensions: int | None = None,
    timeout: float | None = None,
) -> EmbedResponse:
    """Turns texts into vectors: `response.embeddings[i].values` is that of the i-th.

    Args:
        stub: A stub of the service, ours or your own.
        model: The model to ask.
        texts: The texts; none may be empty.
        purpose: What the vectors are for, such as EMBED_PURPOSE_QUERY.
        dimensions: The vectors' length, for models that can shorten them.
        timeout: Seconds for the whole call; without one the server's own limit holds.
    """
    request = inputs(model, texts, purpose=purpose, dimensions=dimensions)
    response: EmbedResponse = stub.Embed(request, timeout=timeout)
    return response


def count_tokens(
    stub: LlmProxyServiceStub, chat: ChatRequest, *, timeout: float | None = None, metadata: Metadata = ()
) -> CountTokensResponse:
    """Says how many tokens a conversation has, before anybody pays for it; `source` says who counted."""
    request = CountTokensRequest(chat=chat)
    response: CountTokensResponse = stub.CountTokens(request, timeout=timeout, metadata=tuple(metadata))
    return response


@contextmanager
def stream(
    stub: LlmProxyServiceStub,
    chat: ChatRequest,
    *,
    options: StreamOptions | None = None,
    timeout: float | None = None,
    metadata: Metadata = (),
) -> Iterator[Iterator[StreamResponse]]:
    """Gives the events of a stream, and cancels the call when the block ends, however it ends.

    A bare stub leaves the call running when one merely stops to read; its tokens are paid for and nobody reads them.
    What the block gets is the call of gRPC, with `code()`, `trailing_metadata()` and the rest.

    Args:
        stub: A stub of the service, ours or your own.
        chat: The conversation.
        options: How it is streamed.
        timeout: Seconds for the whole stream; without one the server's own limit holds.
        metadata: Sent with the call.
    """
    call = stub.Stream(StreamRequest(chat=chat, options=options), timeout=timeout, metadata=tuple(metadata))
    try:
        yield call
    finally:
        call.cancel()


def collect(events: Iterable[StreamResponse]) -> ChatResponse:
    """Reads a stream to its end and puts it together, as Chat would have answered.

    Raises:
        BrokenStream: An event is missing, or the stream has no `end`: the answer is not whole.
        StreamFailed: The stream carries its error as an event.
    """
    answer = Answer()
    for event in events:
        answer.add(event)
    return answer.response()


def text(events: Iterable[StreamResponse], *, candidate: int = 0) -> Iterator[str]:
    """Yields the text of one candidate as it comes.

    Raises:
        BrokenStream: An event is missing, or the stream has no `end`: the text is not whole.
        StreamFailed: The stream carries its error as an event.
    """
    order = Order()
    for event in events:
        order.check(event)
        if piece := text_of(event, candidate):
            yield piece
    order.require_end()
