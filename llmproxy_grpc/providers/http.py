"""HTTP to providers: requests over pooled connections, answers in the pieces that the socket gives.

The only file of this folder that knows aiohttp, of which it uses the connector and the parser but not the session: a
session costs half as much again for each request, follows redirects, and tells nobody whether a connection was new.
"""

# ruff: noqa: SLF001 - the classes of this module know each other, and one of aiohttp's methods has no public name.

import asyncio
import ssl
import weakref
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from functools import partial
from types import TracebackType
from typing import cast

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from llmproxy_grpc.errors import (
    Fault,
    ProxyError,
    UpstreamError,
    UpstreamProtocolError,
    UpstreamStreamBroken,
    UpstreamUnreachable,
)
from llmproxy_grpc.providers.inflating import Inflating, can_inflate
from llmproxy_grpc.providers.request_head import header_lines, request_head
from llmproxy_grpc.providers.shortage import is_ours, shortage

_MAX_HEADER_BYTES = 32768
_JOIN_BELOW = 65536
_MOST_HEADS = 9
"""Heads that may come by a connection for one request: the answer's, and those of status 1xx before it."""
_NO_ANSWER = "The provider closed the connection without an answer."
_UNREADABLE = "The provider's answer is not valid HTTP."


class HttpClient:
    """A pool of connections; made inside a running event loop, closed by `aclose`.

    There is no limit on the time of a call, which is the router's business: it cancels, and the connection is closed at
    once. Redirects are errors: following one would carry the prompt and the key elsewhere.

    Args:
        connect_timeout: Seconds for a new connection in all: a free place in the pool, DNS, TCP and TLS.
        max_connections: At most so many connections at a time; 0 for any number.
        keepalive: How long, in seconds, an idle connection is kept.
        unix_path: A Unix socket to connect to, whatever host an address names.
        tls: Which certificates are trusted; None for those of the system.
    """

    def __init__(
        self,
        *,
        connect_timeout: float,
        max_connections: int = 0,
        keepalive: float = 60.0,
        unix_path: str | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._timeout = aiohttp.ClientTimeout(total=None, connect=connect_timeout, sock_connect=connect_timeout)
        self._tls = tls
        self._reading: set[HttpResponse] = set()
        self._served: weakref.WeakSet[ResponseHandler] = weakref.WeakSet()
        self._connector: aiohttp.BaseConnector = (
            aiohttp.TCPConnector(limit=max_connections, keepalive_timeout=keepalive)
            if unix_path is None
            else aiohttp.UnixConnector(unix_path, limit=max_connections, keepalive_timeout=keepalive)
        )
        protocol: type[ResponseHandler] = _Protocol
        self._connector._factory = partial(protocol, asyncio.get_running_loop())

    async def aclose(self) -> None:
        """Closes every connection; answers still being read break."""
        for response in tuple(self._reading):
            response._break_off()
        await self._connector.close()

    def endpoint(self, method: str, url: str, *, headers: Mapping[str, str]) -> "Endpoint":
        """Prepares what stays the same from request to request, for calls that are made often.

        Args:
            method: The HTTP method.
            url: The address, percent-encoded: it is sent as it is, since signatures and names depend on it.
            headers: Those of every request.

        Raises:
            ValueError: The address or a header is not valid.
        """
        target = aiohttp.ClientRequest(method, URL(url, encoded=True), headers=headers, ssl=self._tls or True)
        if target.url.scheme not in ("http", "https"):
            raise ValueError("a provider's address starts with http:// or https://")
        # The address' user and password have become a header of the target.
        of_address = {name: target.headers[name] for name in ("host", "authorization") if name in target.headers}
        return Endpoint(self, target, request_head(method, target.url.raw_path_qs, of_address, headers))

    def request(
        self, method: str, url: str, *, headers: Mapping[str, str], body: bytes | None = None
    ) -> AbstractAsyncContextManager["HttpResponse"]:
        """Sends one request; see `Endpoint.send`."""
        return self.endpoint(method, url, headers=headers).send(body)

    async def _connect(self, target: aiohttp.ClientRequest, *, fresh: bool) -> tuple[Connection, bool]:
        """Gives a connection, and whether it has served before; with `fresh` it has not."""
        while True:
            try:
                connection = await self._connector.connect(target, [], self._timeout)
            except (aiohttp.ClientError, OSError) as error:  # TimeoutError is an OSError
                raise _unconnected(error) from error
            protocol = connection.protocol
            if protocol is None or protocol not in self._served:
                if protocol is not None:
                    self._served.add(protocol)
                return connection, False
            # What came unasked while the connection lay idle must not answer somebody's question.
            if not fresh and not protocol.should_close:
                return connection, True
            _abort(connection)


class Endpoint:
    """One method and address with their constant headers, ready to send; made by `HttpClient.endpoint`.

    Args:
        client: Whose connections it uses.
        target: The method and address.
        head: What goes on the wire before the headers of one request.
    """

    __slots__ = ("_client", "_head", "_target")

    def __init__(self, client: HttpClient, target: aiohttp.ClientRequest, head: bytes) -> None:
        self._client = client
        self._target = target
        self._head = head

    def send(
        self, body: bytes | None = None, *, headers: Mapping[str, str] | None = None
    ) -> AbstractAsyncContextManager["HttpResponse"]:
        """Sends a request and gives the answer's head, whatever its status but 1xx and 3xx.

        On leaving the context the connection goes back to the pool if the answer was read to its end, and is closed
        otherwise. If a pooled connection turns out to have been closed without a byte of an answer, the request is sent
        once more over a new connection.

        Args:
            body: What to send, whole.
            headers: Those of this request alone.

        Raises:
            UpstreamUnreachable: No connection; nothing was sent.
            ProxyOverloaded: As before, for the proxy has run out of files, memory or addresses.
            UpstreamProtocolError: The request was sent, and no answer, a redirect or something unreadable came.
            ValueError: A header is not valid.
        """
        head = self._head + header_lines(headers) if headers else self._head
        if body is not None:
            head = b"%bContent-Length: %d\r\n\r\n" % (head, len(body))
        elif self._target.method in self._target.POST_METHODS:
            head += b"Content-Length: 0\r\n\r\n"
        else:
            head += b"\r\n"
        return _Exchange(self._client, self, head, body or b"", headers or {})

    async def _answer(self, head: bytes, body: bytes) -> "HttpResponse":
        for fresh in (False, True):
            connection, reused = await self._client._connect(self._target, fresh=fresh)
            try:
                return await self._ask(connection, head, body)
            except _NoAnswer:
                _abort(connection)
                if not reused:
                    break
            except BaseException:
                _abort(connection)
                raise
        raise UpstreamProtocolError(_NO_ANSWER)

    async def _ask(self, connection: Connection, head: bytes, body: bytes) -> "HttpResponse":
        protocol = connection.protocol
        transport = connection.transport
        if protocol is None or transport is None:
            raise _NoAnswer
        cast(_Protocol, protocol).heads = 0
        protocol.set_response_params(
            skip_payload=self._target.method == "HEAD",
            read_until_eof=True,
            auto_decompress=False,
            max_line_size=_MAX_HEADER_BYTES,
            max_field_size=_MAX_HEADER_BYTES,
        )
        if len(body) < _JOIN_BELOW:
            transport.write(head + body)
        else:
            transport.write(head)
            transport.write(body)
        message, content = await _read_head(protocol)
        if message.code < 200 or 300 <= message.code < 400:
            raise UpstreamProtocolError(
                f"The provider answered with HTTP status {message.code}.", fault=Fault(http_status=message.code)
            )
        return HttpResponse(message.code, message.headers, connection, content)


class HttpResponse:
    """An answer: its head, and its body in pieces, decoded if the provider compressed it unasked.

    Args:
        status: The HTTP status.
        headers: Its headers; names are found in any case.
        connection: The connection that it comes by.
        content: The body as it comes.
    """

    __slots__ = ("_connection", "_content", "_inflating", "headers", "own_headers", "status")

    def __init__(
        self, status: int, headers: Mapping[str, str], connection: Connection, content: aiohttp.StreamReader
    ) -> None:
        self.status = status
        self.headers = headers
        """Names are found in any case."""
        self.own_headers: Mapping[str, str] = {}
        """The headers that its request alone was sent with."""
        self._connection = connection
        self._content = content
        encoding = headers.get("content-encoding", "").strip().lower()
        self._inflating = (
            Inflating(encoding, self._raw_chunk, Fault(http_status=status)) if can_inflate(encoding) else None
        )

    @property
    def content_type(self) -> str:
        """The media type in lower case, without its parameters; empty if there is none."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    async def read(self, limit: int) -> bytes:
        """Reads the rest of the body.

        Args:
            limit: How many bytes it may have.

        Raises:
            UpstreamProtocolError: It has more, or cannot be read.
            UpstreamStreamBroken: The connection broke before its end.
        """
        pieces = []
        size = 0
        while piece := await self.chunk():
            size += len(piece)
            if size > limit:
                raise UpstreamProtocolError("The provider's answer is too long.", fault=Fault(http_status=self.status))
            pieces.append(piece)
            if self._inflating is None and self._content.at_eof():
                break  # nearly always: the end came with the last piece
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def chunk(self) -> bytes:
        """Waits for the next piece of the body: what has come since the last; b"" at its end.

        Raises:
            UpstreamProtocolError: The body cannot be read.
            UpstreamStreamBroken: The connection broke before the body's end; what had come until then is given first.
        """
        return await (self._raw_chunk() if self._inflating is None else self._inflating.chunk())

    async def _raw_chunk(self) -> bytes:
        try:
            return await self._content.readany()
        except (aiohttp.ClientError, HttpProcessingError, OSError) as error:
            # aiohttp's public methods drop what had come before the break.
            if rest := self._content._read_nowait(-1):
                return rest
            raise _broken(error, self.status) from error

    def _break_off(self) -> None:
        """Wakes whoever waits for more: aiohttp leaves him waiting when it closes a connection itself."""
        if not self._content.at_eof():
            self._content.set_exception(aiohttp.ClientPayloadError())

    def _finish(self) -> None:
        """Gives the connection back if nothing is left on it, in either direction."""
        transport = self._connection.transport
        if self._content.at_eof() and (transport is None or not transport.get_write_buffer_size()):
            self._connection.release()
        else:
            _abort(self._connection)


class _Exchange(AbstractAsyncContextManager[HttpResponse]):
    """A request to be sent on entering, and its answer to be finished on leaving."""

    __slots__ = ("_body", "_client", "_endpoint", "_head", "_own_headers", "_response")

    def __init__(
        self, client: HttpClient, endpoint: Endpoint, head: bytes, body: bytes, own_headers: Mapping[str, str]
    ) -> None:
        self._client = client
        self._endpoint = endpoint
        self._head = head
        self._body = body
        self._own_headers = own_headers

    async def __aenter__(self) -> HttpResponse:
        response = self._response = await self._endpoint._answer(self._head, self._body)
        response.own_headers = self._own_headers
        self._client._reading.add(response)
        return response

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._client._reading.discard(self._response)
        self._response._finish()


class _Protocol(ResponseHandler):
    """What comes by one connection; at a head too many it is closed.

    Each head takes some 10 µs and is kept until it is read, and a provider may send a million of them, also unasked.

    Attributes:
        heads: Those that have come since the last request.
    """

    heads = 0

    def feed_data(self, data: tuple[aiohttp.http.RawResponseMessage, aiohttp.StreamReader], size: int = 0) -> None:
        """Takes a head and the body behind it."""
        self.heads += 1
        if self.heads <= _MOST_HEADS:
            super().feed_data(data, size)
        elif self.transport is not None and not self.transport.is_closing():
            self.set_exception(HttpProcessingError())
            self.transport.abort()

    def set_exception(self, exc: BaseException, *cause: BaseException) -> None:
        """Tells who reads; aiohttp tells only who waits for a head, also of chunks that are none."""
        body = self._payload
        if isinstance(exc, HttpProcessingError) and body is not None and not body.is_eof():
            body.set_exception(exc, *cause)
            self._payload = None  # so that the connection's end does not become its reason
        super().set_exception(exc, *cause)


class _NoAnswer(Exception):
    """The connection closed before the first byte of an answer."""


async def _read_head(protocol: ResponseHandler) -> tuple[aiohttp.http.RawResponseMessage, aiohttp.StreamReader]:
    while True:
        try:
            message, content = await protocol.read()
        except HttpProcessingError as error:
            raise UpstreamProtocolError(_UNREADABLE) from error
        except aiohttp.ServerDisconnectedError as error:
            if not isinstance(error.message, str):  # the beginning of an answer, as far as it came
                raise UpstreamProtocolError(_NO_ANSWER) from error
            raise _NoAnswer from error
        except (aiohttp.ClientError, OSError) as error:
            raise _NoAnswer from error
        if message.code >= 200 or message.code == 101:
            return message, content


def _abort(connection: Connection) -> None:
    """Closes at once: closing alone would first wait for the peer to take what is still to be sent."""
    transport = connection.transport
    connection.close()
    if transport is not None:
        transport.abort()


def _unconnected(error: Exception) -> ProxyError:
    if is_ours(error.__cause__):
        return shortage()
    reasons: tuple[tuple[type[Exception], str], ...] = (
        (TimeoutError, "No connection to the provider within the time limit."),
        (aiohttp.ClientConnectorDNSError, "The provider's host name cannot be resolved."),
        (aiohttp.ClientConnectorCertificateError, "The provider's certificate is not valid."),
        (aiohttp.ClientSSLError, "No TLS connection to the provider."),
    )
    text = next((text for kind, text in reasons if isinstance(error, kind)), "No connection to the provider.")
    return UpstreamUnreachable(text)


def _broken(error: Exception, status: int) -> UpstreamError:
    fault = Fault(http_status=status)
    if isinstance(error, HttpProcessingError):
        return UpstreamProtocolError(_UNREADABLE, fault=fault)
    return UpstreamStreamBroken("The provider broke off its answer.", fault=fault)
