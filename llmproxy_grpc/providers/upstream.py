"""One upstream over HTTP, as every kind asks it: addresses, keys that take turns, and the errors that answers are."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from itertools import cycle
from typing import Final, TypeVar
from urllib.parse import quote, urljoin

from llmproxy_grpc.aside import aside
from llmproxy_grpc.errors import ModelNotFound, ProxyError, UpstreamProtocolError, UpstreamStreamBroken
from llmproxy_grpc.providers.credentials import secrets_in
from llmproxy_grpc.providers.expiring import Expiring
from llmproxy_grpc.providers.extent import check_document, is_long
from llmproxy_grpc.providers.failures import failure
from llmproxy_grpc.providers.http import Endpoint, HttpClient, HttpResponse

JSON: Final = "application/json"
MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024
MAX_LIST_BYTES: Final = 8 * 1024 * 1024
"""Of one page of a list of models."""
MAX_COUNT_BYTES: Final = 65536
"""Of an answer that counts tokens."""
_MAX_ERROR_BYTES: Final = 65536
_MOST_ADDRESSES: Final = 1024
"""Addresses that are kept ready; callers choose the models that some of them name."""

T = TypeVar("T")


class Upstream:
    """One upstream; a redirect is an error, and a secret goes nowhere but here.

    Args:
        http: Where connections come from; closing it is its owner's business.
        base_url: What every path is appended to.
        headers: Constant headers of every request; several sets take turns, so that several keys share the load.
        token: Gives tokens that expire, sent as bearers in place of a key.
        now: The wall clock, for waits that a provider names as a date.
    """

    def __init__(
        self,
        http: HttpClient,
        base_url: str,
        *,
        headers: Sequence[Mapping[str, str]] = ({},),
        token: Expiring[str] | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._http = http
        self.base_url = base_url.rstrip("/")
        self._turns = cycle(range(len(headers)))
        self._headers = headers
        self._now = now
        self.token = token
        self._secrets = secrets_in(headers)
        self._endpoints: dict[tuple[str, str, int], Endpoint] = {}

    def by_credential(self) -> Sequence["Upstream"]:
        """The same upstream once for each set of headers, which all of its requests then have."""
        return [
            Upstream(self._http, self.base_url, headers=(headers,), token=self.token, now=self._now)
            for headers in self._headers
        ]

    def post(
        self, path: str, body: bytes, *, headers: Mapping[str, str] | None = None
    ) -> AbstractAsyncContextManager[HttpResponse]:
        """Sends JSON and gives the answer's head, as `Endpoint.send`.

        Args:
            path: Percent-encoded, with the query if there is one; from `/../` on, beside the address' last segment.
            body: What to send.
            headers: Those of this request alone, such as a signature.
        """
        return self._endpoint("POST", path).send(body, headers=headers)

    async def get(
        self, path: str, limit: int, read: Callable[[bytes], T], *, headers: Mapping[str, str] | None = None
    ) -> T:
        """Asks for a document and reads it, as `read`; anything but a good answer raises a ProxyError."""
        try:
            async with self._endpoint("GET", path).send(headers=headers) as response:
                return await self.read(response, read, limit)
        except ModelNotFound as error:
            # No model was asked for: most often the address has a segment too many, or too few.
            error.message = f"Nothing is at {self._address(path).partition('?')[0]}; is base_url right?"
            raise

    async def read(self, response: HttpResponse, read: Callable[[bytes], T], limit: int = MAX_ANSWER_BYTES) -> T:
        """Reads a good answer whole: gives what `read` makes of its body.

        Args:
            response: The answer, of which nothing has been read.
            read: Reads JSON. Of a long document it does so aside: it must need neither the event loop nor context
                variables.
            limit: How many bytes there may be.

        Raises:
            ProxyError: Its status is not 200, it is longer than `limit` bytes or holds too much, or was cut off; or
                what `read` raises.
        """
        document = await self._body(response, limit)
        return await aside(_read_long, document, read) if is_long(document) else read(document)

    async def _body(self, response: HttpResponse, limit: int) -> bytes:
        if response.status != 200:
            raise await self.failure(response)
        try:
            return await response.read(limit)
        except UpstreamStreamBroken as error:
            raise UpstreamProtocolError("The provider's answer was cut off.") from error

    async def failure(self, response: HttpResponse) -> ProxyError:
        """The error that a status other than 200 is, even if its body cannot be read."""
        try:
            body = await response.read(_MAX_ERROR_BYTES)
        except ProxyError:
            body = b""
        return self._failure(response.status, response, body)

    def failed(self, response: HttpResponse) -> Callable[[bytes], ProxyError]:
        """Makes the error that a document is which came, whole or in a stream, behind the status 200."""
        return lambda document: self._failure(200, response, document)

    def _failure(self, status: int, response: HttpResponse, body: bytes) -> ProxyError:
        # Those of this very request: a token is renewed, and every signature is another, while earlier ones still wait.
        secrets = (*self._secrets, *secrets_in((response.own_headers,)))
        return failure(status, response.headers, body, now=self._now(), secrets=secrets)

    def _endpoint(self, method: str, path: str) -> Endpoint:
        turn = next(self._turns)
        key = (method, path, turn)
        endpoint = self._endpoints.get(key)
        if endpoint is None:
            if len(self._endpoints) >= _MOST_ADDRESSES:
                self._endpoints.clear()
            headers = self._headers[turn]
            if method == "POST":
                headers = {"content-type": JSON, **headers}
            endpoint = self._http.endpoint(method, self._address(path), headers=headers)
            self._endpoints[key] = endpoint
        return endpoint

    def _address(self, path: str) -> str:
        if path.startswith("/../"):
            return urljoin(f"{self.base_url}/", path[1:])
        return f"{self.base_url}{path}"


def unread(_document: bytes) -> None:
    """Reads nothing of a document: that it came is all that is asked."""


def segment(name: str) -> str:
    """A name that a caller chose as one segment of a path: it leads nowhere else.

    Raises:
        ModelNotFound: It would, even encoded, as servers resolve dots.
    """
    if not name.strip("."):
        raise ModelNotFound("The provider does not know the model.")
    return quote(name, safe="")


def _read_long(document: bytes, read: Callable[[bytes], T]) -> T:
    check_document(document)
    return read(document)
