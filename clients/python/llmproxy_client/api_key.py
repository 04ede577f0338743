"""Puts the API key into every call of a channel, over TLS and plaintext alike."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

import grpc
from grpc import aio

_HEADER = "authorization"
_Entry = tuple[str, str | bytes]


def check_key(api_key: str) -> str:
    """Returns the key. Raises ValueError, without quoting it, if it cannot travel in a header."""
    if not api_key or not all("!" <= character <= "~" for character in api_key):
        raise ValueError("the API key must be printable ASCII without spaces")
    return api_key


class ApiKey(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):
    """Adds `authorization: Bearer KEY` to each call that does not bring its own."""

    def __init__(self, api_key: str) -> None:
        self._bearer = f"Bearer {check_key(api_key)}"

    def intercept_unary_unary(
        self, continuation: Callable[..., Any], client_call_details: grpc.ClientCallDetails, request: Any
    ) -> Any:
        """Adds the header."""
        return continuation(self._signed(client_call_details), request)

    def intercept_unary_stream(
        self, continuation: Callable[..., Any], client_call_details: grpc.ClientCallDetails, request: Any
    ) -> Any:
        """Adds the header."""
        return continuation(self._signed(client_call_details), request)

    def _signed(self, details: grpc.ClientCallDetails) -> grpc.ClientCallDetails:
        return _Details(
            method=details.method,
            timeout=details.timeout,
            metadata=_signed(details.metadata, self._bearer),
            credentials=details.credentials,
            wait_for_ready=details.wait_for_ready,
            compression=details.compression,
        )


def aio_interceptors(api_key: str) -> list[aio.ClientInterceptor]:
    """The same for an asynchronous channel, which takes one interceptor for each shape of call."""
    bearer = f"Bearer {check_key(api_key)}"
    return [_AioUnary(bearer), _AioStream(bearer)]


class _AioUnary(aio.UnaryUnaryClientInterceptor):
    def __init__(self, bearer: str) -> None:
        self._bearer = bearer

    async def intercept_unary_unary(
        self, continuation: Callable[..., Awaitable[Any]], client_call_details: aio.ClientCallDetails, request: Any
    ) -> Any:
        return await continuation(_aio_signed(client_call_details, self._bearer), request)


class _AioStream(aio.UnaryStreamClientInterceptor):
    def __init__(self, bearer: str) -> None:
        self._bearer = bearer

    async def intercept_unary_stream(
        self, continuation: Callable[..., Awaitable[Any]], client_call_details: aio.ClientCallDetails, request: Any
    ) -> Any:
        return await continuation(_aio_signed(client_call_details, self._bearer), request)


@dataclass(frozen=True, slots=True)
class _Details(grpc.ClientCallDetails):
    method: str
    timeout: float | None
    metadata: tuple[_Entry, ...] | None
    credentials: grpc.CallCredentials | None
    wait_for_ready: bool | None
    compression: grpc.Compression | None


def _aio_signed(details: aio.ClientCallDetails, bearer: str) -> aio.ClientCallDetails:
    return aio.ClientCallDetails(
        details.method,
        details.timeout,
        aio.Metadata(*_signed(details.metadata, bearer)),
        details.credentials,
        details.wait_for_ready,
    )


def _signed(metadata: Iterable[_Entry] | None, bearer: str) -> tuple[_Entry, ...]:
    entries = tuple(metadata or ())
    if any(name.lower() == _HEADER for name, _ in entries):
        return entries
    return (*entries, (_HEADER, bearer))
