"""Why there is no token: whether who gives them out refused, or was not to be reached, too slow or in trouble."""

import errno
import socket
import ssl
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

from llmproxy_grpc.errors import (
    ProxyError,
    UpstreamRateLimited,
    UpstreamServerError,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from llmproxy_grpc.providers.shortage import is_ours, shortage

_NETWORK: Final = (ConnectionError, socket.gaierror, ssl.SSLError)
_UNREACHABLE: Final = frozenset({"ENETUNREACH", "EHOSTUNREACH", "ENETDOWN", "EHOSTDOWN"})
_TOO_MANY: Final = 429
_SERVER_ERRORS: Final = range(500, 600)


class Absent(LookupError):
    """No credential is to be found: there never was one, or who has it is away; a library does not tell which."""


def trouble(error: BaseException, *, had: bool) -> Callable[[], ProxyError] | None:
    """What makes the error that a caller gets, in words of ours; None if it is a refusal, or nobody knows.

    The libraries of the clouds have errors of their own for everything, but each raises them from, or while handling,
    those of Python's own sockets: these tell. Of services that tell a machine who it is, the libraries swallow them.

    Args:
        error: What was raised in place of a credential.
        had: Whether there was a credential before: one that is absent is not to be reached then.
    """
    for cause in _causes(error):
        if failed := _on_the_way(cause):
            return failed
        status = _status(cause)
        if status == _TOO_MANY:
            return partial(UpstreamRateLimited, "Where the provider's credentials come from limits our rate.")
        # google-auth keeps no status, but says which ones are worth another try.
        if status in _SERVER_ERRORS or getattr(cause, "retryable", False) is True:
            return partial(UpstreamServerError, "Where the provider's credentials come from has trouble of its own.")
    if had and isinstance(error, Absent):
        return partial(UpstreamUnreachable, "Where the provider's credentials came from is not to be reached.")
    return None


def _on_the_way(cause: BaseException) -> Callable[[], ProxyError] | None:
    if is_ours(cause):
        return shortage
    if isinstance(cause, TimeoutError):
        return partial(UpstreamTimeout, "The provider's credentials were too slow to come.")
    if isinstance(cause, _NETWORK) or _is_unreachable(cause):
        return partial(UpstreamUnreachable, "No connection to where the provider's credentials come from.")
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error, and what led to it, as Python would print them; each once."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        before = None if cause.__suppress_context__ else cause.__context__
        # azure-core raises what was wrong with a connection from nothing, and keeps it there.
        inner = getattr(cause, "inner_exception", None)
        cause = cause.__cause__ or (inner if isinstance(inner, BaseException) else before)


def _is_unreachable(error: BaseException) -> bool:
    return isinstance(error, OSError) and errno.errorcode.get(error.errno or 0) in _UNREACHABLE


def _status(error: BaseException) -> int:
    """The status of the answer that an error of azure-core or botocore is; 0 if it is none."""
    told: Any = getattr(error, "status_code", None)
    if told is None:
        answer: Any = getattr(error, "response", None)
        metadata = answer.get("ResponseMetadata") if isinstance(answer, dict) else None
        told = metadata.get("HTTPStatusCode") if isinstance(metadata, dict) else None
    return told if isinstance(told, int) else 0
