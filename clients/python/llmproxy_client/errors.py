"""What can go wrong with a call, and what the proxy told about it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError, Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from llmproxy_client.names import short
from llmproxy_client.v1.chat_pb2 import StreamError
from llmproxy_client.v1.error_pb2 import ErrorDetail, ErrorReason

_DOMAIN = "llmproxy"
_STATUS = "grpc-status-details-bin"
_REQUEST_ID = "x-request-id"
_CODES = {code.value[0]: code for code in grpc.StatusCode}
_Entry = tuple[str, str | bytes]
_Detail = TypeVar("_Detail", bound=Message)


class BrokenStream(Exception):
    """The events do not make a whole answer: one is missing, or the stream stopped before its `end`."""


class StreamFailed(grpc.RpcError):
    """The stream carried its error as an event (StreamOptions.inband_error); it reads like any other RpcError."""

    def __init__(self, error: StreamError) -> None:
        super().__init__(error.message)
        self.error = error

    def code(self) -> grpc.StatusCode:
        """The status that the call has, or would have had."""
        return _CODES.get(self.error.grpc_code, grpc.StatusCode.UNKNOWN)

    def details(self) -> str:
        """The error in words."""
        return self.error.message


@dataclass(frozen=True, slots=True)
class Violation:
    """One wrong field of the request: its path, such as `messages[2].parts[0].text`, and what to do."""

    field: str
    description: str


@dataclass(frozen=True, slots=True)
class Failure:
    """What is known about a failed call.

    Args:
        code: gRPC's code: what the caller should do.
        message: In words.
        reason: ErrorReason without its prefix, such as `MODEL_NOT_FOUND`; empty if the error is not the proxy's own.
        metadata: The variables of the message.
        detail: The whole story; empty if the error is not the proxy's own.
        retry_after: Seconds until another try is worth it, if known.
        violations: Every wrong field.
        request_id: Finds the call in the proxy's logs; empty if not known.
    """

    code: grpc.StatusCode
    message: str = ""
    reason: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    detail: ErrorDetail = field(default_factory=ErrorDetail)
    retry_after: float | None = None
    violations: tuple[Violation, ...] = ()
    request_id: str = ""

    @property
    def headline(self) -> str:
        """Code, reason and message in one line."""
        name = f"{self.code.name}/{self.reason}" if self.reason else self.code.name
        return f"{name}: {self.message}"


def error_detail(error: BaseException) -> Failure:
    """Reads an error of gRPC, synchronous or not; never raises: what is missing or broken stays empty."""
    if isinstance(error, StreamFailed):
        return _failure(error.code(), error.details(), error.error.detail)
    trailers = dict(_trailers(error))
    status = _parse(Status, trailers.get(_STATUS)) or Status()
    info = _unpack(status, ErrorInfo)
    known = info if info is not None and info.domain == _DOMAIN else ErrorInfo()
    return _failure(
        _code(error),
        _words(error) or status.message,
        _unpack(status, ErrorDetail) or ErrorDetail(),
        info=known,
        retry=_unpack(status, RetryInfo),
        wrong=_unpack(status, BadRequest),
        request_id=str(trailers.get(_REQUEST_ID, "")),
    )


def _failure(
    code: grpc.StatusCode,
    message: str,
    detail: ErrorDetail,
    *,
    info: ErrorInfo | None = None,
    retry: RetryInfo | None = None,
    wrong: BadRequest | None = None,
    request_id: str = "",
) -> Failure:
    return Failure(
        code=code,
        message=message,
        reason=(info.reason if info else "") or short(ErrorReason.DESCRIPTOR, detail.reason),
        metadata=dict(info.metadata) if info else {},
        detail=detail,
        retry_after=_retry_after(detail, retry),
        violations=tuple(Violation(one.field, one.description) for one in wrong.field_violations) if wrong else (),
        request_id=detail.request_id or request_id,
    )


def _retry_after(detail: ErrorDetail, retry: RetryInfo | None) -> float | None:
    if retry is not None and retry.HasField("retry_delay"):
        return _seconds(retry.retry_delay)
    return _seconds(detail.retry_after) if detail.HasField("retry_after") else None


def _seconds(duration: Duration) -> float:
    # Not ToTimedelta(): it raises for a duration that no timedelta holds.
    return duration.seconds + duration.nanos / 1e9


def _code(error: BaseException) -> grpc.StatusCode:
    code = _ask(error, "code")
    return code if isinstance(code, grpc.StatusCode) else grpc.StatusCode.UNKNOWN


def _words(error: BaseException) -> str:
    return str(_ask(error, "details") or "") if isinstance(error, grpc.RpcError) else str(error)


def _trailers(error: BaseException) -> Iterable[_Entry]:
    entries = _ask(error, "trailing_metadata")
    if not isinstance(entries, Iterable):
        return
    for entry in entries:
        name, value = entry
        yield name, value


def _ask(error: BaseException, name: str) -> object:
    # Only what the call of gRPC adds: a bare RpcError has none of it.
    method = getattr(error, name, None)
    return method() if callable(method) else None


def _parse(kind: type[_Detail], data: object) -> _Detail | None:
    if not isinstance(data, bytes):
        return None
    try:
        return kind.FromString(data)
    except DecodeError:
        return None


def _unpack(status: Status, kind: type[_Detail]) -> _Detail | None:
    for packed in status.details:
        if packed.Is(kind.DESCRIPTOR):
            return _parse(kind, packed.value)
    return None
