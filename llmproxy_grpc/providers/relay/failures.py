"""Which error another proxy's status is: by the reason that it tells, else by its bare code."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2
from google.rpc.status_pb2 import Status

from llmproxy_grpc import errors
from llmproxy_grpc._gen.v1 import error_pb2
from llmproxy_grpc.errors import Fault, FieldViolation, InvalidRequest, ProxyError
from llmproxy_grpc.providers.failures import MESSAGES
from llmproxy_grpc.providers.retry_after import bounded
from llmproxy_grpc.providers.scrubbing import identifier, scrubbed
from llmproxy_grpc.providers.shortage import no_file_is_left, shortage
from llmproxy_grpc.providers.upstream import MAX_ANSWER_BYTES
from llmproxy_grpc.wire import to_usage
from llmproxy_grpc.wire.scalars import to_seconds

DETAILS_KEY: Final = "grpc-status-details-bin"
DOMAIN: Final = "llmproxy"

MOST_VARIABLES: Final = 8
MOST_VIOLATIONS: Final = 50
"""How much of another proxy's error goes into ours, which as a whole has to stay short: clients lose long ones."""

Code = grpc.StatusCode

_HTTP_STATUSES: Final = range(100, 600)
_VARIABLE: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")

# What is the other proxy's own affair means something else here: its caller is this proxy, and its failure is one of
# a provider, after which another target may do better.
_SEEN_FROM_HERE: Final[Mapping[str, type[ProxyError]]] = {
    "CALLER_UNAUTHENTICATED": errors.CredentialsRejected,
    "PERMISSION_DENIED": errors.CredentialsRejected,
    "CALLER_RATE_LIMITED": errors.UpstreamRateLimited,
    "CALLER_BUDGET_EXCEEDED": errors.UpstreamQuotaExhausted,
    "METHOD_NOT_IMPLEMENTED": errors.CapabilityNotSupported,
    "NO_PROVIDER_AVAILABLE": errors.UpstreamOverloaded,
    "PROXY_OVERLOADED": errors.UpstreamOverloaded,
    "DRAINING": errors.UpstreamOverloaded,
    "SLOW_CONSUMER": errors.UpstreamStreamBroken,
    "DEADLINE_EXCEEDED": errors.UpstreamTimeout,
    "CALLER_CANCELLED": errors.UpstreamServerError,
    "INTERNAL": errors.UpstreamServerError,
}

_BY_CODE: Final[Mapping[grpc.StatusCode, type[ProxyError]]] = {
    Code.INVALID_ARGUMENT: errors.InvalidRequest,
    Code.OUT_OF_RANGE: errors.InvalidRequest,
    Code.NOT_FOUND: errors.ModelNotFound,
    Code.UNAUTHENTICATED: errors.CredentialsRejected,
    Code.PERMISSION_DENIED: errors.CredentialsRejected,
    Code.RESOURCE_EXHAUSTED: errors.UpstreamRateLimited,
    Code.UNIMPLEMENTED: errors.CapabilityNotSupported,
    Code.DEADLINE_EXCEEDED: errors.UpstreamTimeout,
}

_NOT_RESOLVED: Final = re.compile(r"(?i)dns resolution failed|^errors resolving ")
_NOT_CONNECTED: Final = re.compile(r"(?i)failed to connect|connections to all backends failing")
_RUN_OUT: Final = re.compile(
    r"(?is)failed to connect.*: (?:too many open files|no buffer space|cannot allocate memory|cannot assign requested)"
)
"""What gRPC says when this process, rather than the other proxy, is why there is no connection."""
_TOO_LARGE: Final = re.compile(r"(?i)message larger than max")
_ANSWER_TOO_LARGE: Final = re.compile(rf"CLIENT: Received message larger than max \([0-9]+ vs\. {MAX_ANSWER_BYTES}\)")
"""What our own end of the line says when a message breaks its limit."""


class _Said(NamedTuple):
    """The details of a rich status; those that are missing are empty."""

    info: Any
    detail: error_pb2.ErrorDetail
    bad_request: Any
    retry_info: Any


def failure(
    error: grpc.aio.AioRpcError, *, late: bool, begun: bool, connected: bool, secrets: Sequence[str]
) -> ProxyError:
    """Gives the error that a status is.

    Args:
        error: The status, which is not OK.
        late: Whether the deadline of the call that is served has passed: then it is that which was exceeded.
        begun: Whether messages of a stream had come: then a failure that says no more breaks it.
        connected: Whether there is a connection: then words like gRPC's own are the other proxy's, of its own troubles.
        secrets: Our keys, which the other proxy may repeat and nobody else may see.
    """
    unconnected = error.code() is Code.UNAVAILABLE and not begun and not connected
    if unconnected and _is_ours(error.details() or ""):
        return shortage()
    said = _said(error)
    kind = _kind(error, said, late=late, begun=begun, unconnected=unconnected)
    failed = _failure(error, said, kind, secrets)
    if said.detail.HasField("partial_usage"):
        failed.usage = to_usage(said.detail.partial_usage)
    return failed


def _is_ours(words: str) -> bool:
    """Whether it is for want of something of our own that there is no connection; of names gRPC does not say why."""
    return bool(_RUN_OUT.search(words) or (_NOT_RESOLVED.search(words) and no_file_is_left()))


def _failure(error: grpc.aio.AioRpcError, said: _Said, kind: type[ProxyError], secrets: Sequence[str]) -> ProxyError:
    message = MESSAGES.get(kind, "The call of the upstream proxy failed.")
    fault = _fault(error, said, secrets)
    if issubclass(kind, errors.CredentialsRejected):
        fault = Fault(code=fault.code, request_id=fault.request_id)  # the words may repeat the key
    wait, metadata = _wait(said), _metadata(said, secrets)
    if issubclass(kind, InvalidRequest):
        violations = _violations(said, secrets)
        return kind(message, violations=violations, fault=fault, retry_after=wait, metadata=metadata)
    return kind(message, fault=fault, retry_after=wait, metadata=metadata)


def _said(error: grpc.aio.AioRpcError) -> _Said:
    said = _Said(
        error_details_pb2.ErrorInfo(),
        error_pb2.ErrorDetail(),
        error_details_pb2.BadRequest(),
        error_details_pb2.RetryInfo(),
    )
    serialized = dict(error.trailing_metadata() or ()).get(DETAILS_KEY, b"")
    try:
        for packed in Status.FromString(serialized).details:
            for message in said:
                packed.Unpack(message)  # does nothing if it is of another type
    except DecodeError:
        pass  # the bare code still says something
    return said


def _kind(error: grpc.aio.AioRpcError, said: _Said, *, late: bool, begun: bool, unconnected: bool) -> type[ProxyError]:
    code, words = error.code(), error.details() or ""
    if late and code is Code.DEADLINE_EXCEEDED:
        return errors.DeadlineExceeded
    reason = said.info.reason if said.info.domain == DOMAIN else ""
    if reason in _BY_REASON:
        return _BY_REASON[reason]
    if unconnected and (_NOT_CONNECTED.search(words) or _NOT_RESOLVED.search(words)):
        return errors.UpstreamUnreachable
    if code is Code.RESOURCE_EXHAUSTED and _TOO_LARGE.search(words):
        return errors.UpstreamProtocolError if _ANSWER_TOO_LARGE.search(words) else errors.InvalidRequest
    return _BY_CODE.get(code, errors.UpstreamStreamBroken if begun else errors.UpstreamServerError)


def _fault(error: grpc.aio.AioRpcError, said: _Said, secrets: Sequence[str]) -> Fault:
    """What the provider behind the other proxy said, else what that proxy says itself."""
    detail = said.detail
    return Fault(
        http_status=detail.upstream_http_status if detail.upstream_http_status in _HTTP_STATUSES else 0,
        code=identifier(detail.upstream_code or said.info.reason or error.code().name),
        message=scrubbed(detail.upstream_message or error.details() or "", secrets=secrets),
        request_id=identifier(detail.upstream_request_id or detail.request_id),
    )


def _wait(said: _Said) -> float | None:
    """Seconds, from 0 to a day as of every provider."""
    if said.detail.HasField("retry_after"):
        return bounded(to_seconds(said.detail.retry_after))
    if said.retry_info.HasField("retry_delay"):
        return bounded(to_seconds(said.retry_info.retry_delay))
    return None


def _metadata(said: _Said, secrets: Sequence[str]) -> dict[str, str]:
    """The variables of the other proxy's message, less its request id, in whose place stands ours."""
    names = [name for name in said.info.metadata if name != "requestId" and _VARIABLE.fullmatch(name)]
    return {name: scrubbed(said.info.metadata[name], secrets=secrets) for name in names[:MOST_VARIABLES]}


def _violations(said: _Said, secrets: Sequence[str]) -> tuple[FieldViolation, ...]:
    return tuple(
        FieldViolation(scrubbed(each.field, secrets=secrets), scrubbed(each.description, secrets=secrets))
        for each in said.bad_request.field_violations[:MOST_VIOLATIONS]
    )


def _tree(kind: type[ProxyError]) -> Iterator[type[ProxyError]]:
    yield kind
    for branch in kind.__subclasses__():
        yield from _tree(branch)


_BY_REASON: Final[Mapping[str, type[ProxyError]]] = {
    **{kind.reason: kind for kind in _tree(ProxyError) if kind.reason},
    **_SEEN_FROM_HERE,
}
