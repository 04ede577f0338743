"""How each error looks to the caller: one table of gRPC codes, and the rich status built from it."""

import math
from collections.abc import Iterable
from typing import Final, NamedTuple

import grpc
from google.protobuf.any_pb2 import Any as PackedAny
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from google.rpc.status_pb2 import Status

from llmproxy_grpc import errors
from llmproxy_grpc._gen.v1 import error_pb2
from llmproxy_grpc.calls import Call
from llmproxy_grpc.errors import Fault, InvalidRequest, ProxyError
from llmproxy_grpc.server.trailers import Entries, usage_entries
from llmproxy_grpc.wire import from_attempt, from_usage
from llmproxy_grpc.wire.scalars import fill_duration, mended

DOMAIN: Final = "llmproxy"
MOST_BYTES: Final = 4096
MOST_ATTEMPTS: Final = 6
MOST_VIOLATIONS: Final = 50
LONGEST_MESSAGE: Final = 512
LONGEST_VALUE: Final = 256
LONGEST_WAIT: Final = 86_400.0
DETAILS_KEY: Final = "grpc-status-details-bin"
PUSHBACK_KEY: Final = "grpc-retry-pushback-ms"
NEVER: Final = "-1"

Code = grpc.StatusCode

TABLE: Final[dict[type[ProxyError], grpc.StatusCode]] = {
    errors.InvalidRequest: Code.INVALID_ARGUMENT,
    errors.UnsupportedParameter: Code.INVALID_ARGUMENT,
    errors.ContextLengthExceeded: Code.INVALID_ARGUMENT,
    errors.PromptBlocked: Code.INVALID_ARGUMENT,
    errors.PermissionDenied: Code.PERMISSION_DENIED,
    errors.ResumeTokenInvalid: Code.INVALID_ARGUMENT,
    errors.ResumeTokenExpired: Code.FAILED_PRECONDITION,
    errors.ModelNotFound: Code.NOT_FOUND,
    errors.ResourceNotFound: Code.NOT_FOUND,
    errors.FeatureDisabled: Code.FAILED_PRECONDITION,
    errors.MethodNotImplemented: Code.UNIMPLEMENTED,
    errors.CapabilityNotSupported: Code.UNIMPLEMENTED,
    errors.CredentialsRejected: Code.FAILED_PRECONDITION,
    errors.UpstreamRateLimited: Code.RESOURCE_EXHAUSTED,
    errors.UpstreamQuotaExhausted: Code.RESOURCE_EXHAUSTED,
    errors.UpstreamServerError: Code.UNAVAILABLE,
    errors.UpstreamOverloaded: Code.UNAVAILABLE,
    errors.UpstreamUnreachable: Code.UNAVAILABLE,
    errors.UpstreamTimeout: Code.UNAVAILABLE,
    errors.UpstreamProtocolError: Code.UNAVAILABLE,
    errors.UpstreamStreamBroken: Code.UNAVAILABLE,
    errors.NoProviderAvailable: Code.UNAVAILABLE,
    errors.LoopDetected: Code.FAILED_PRECONDITION,
    errors.ProxyOverloaded: Code.UNAVAILABLE,
    errors.Draining: Code.UNAVAILABLE,
    errors.SlowConsumer: Code.ABORTED,
    errors.DeadlineExceeded: Code.DEADLINE_EXCEEDED,
    errors.CallerCancelled: Code.CANCELLED,
    errors.Outrun: Code.CANCELLED,
    errors.InternalError: Code.INTERNAL,
}


class RichStatus(NamedTuple):
    """What `context.abort_with_status` takes: the code, the message, and the trailers with the details."""

    code: grpc.StatusCode
    details: str
    trailing_metadata: Entries


def code_of(error: ProxyError) -> grpc.StatusCode:
    """The gRPC code of an error."""
    return TABLE[type(error)]


def describe(error: ProxyError) -> tuple[int, error_pb2.ErrorReason.ValueType]:
    """The gRPC code and the ErrorReason of an error, as numbers."""
    return TABLE[type(error)].value[0], error_pb2.ErrorReason.Value(f"ERROR_REASON_{error.reason}")


def rich_status(error: ProxyError, call: Call) -> RichStatus:
    """The status of a failed call, at most 4 KiB: what the caller should do, and the whole story."""
    code = code_of(error)
    message = _shortened(error.message, LONGEST_MESSAGE)
    detail = error_detail(error, call)
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=_metadata(error, call))
    status = Status(code=code.value[0], message=message)
    status.details.extend(_packed([info, detail, *_standard_details(error, call)]))
    serialized = _within_budget(status, detail)
    trailers: list[tuple[str, str | bytes]] = [("x-request-id", call.request_id), (DETAILS_KEY, serialized)]
    pushback = _pushback(error)
    if pushback is not None:
        trailers.append((PUSHBACK_KEY, pushback))
    return RichStatus(code, message, (*trailers, *usage_entries(call)))


def error_detail(error: ProxyError, call: Call) -> error_pb2.ErrorDetail:
    """The whole story of a failed call: the provider that failed last, what was used, and every attempt."""
    # A provider's header may hold bytes that are no text, which protobuf would refuse.
    fault = mended(error.fault or Fault())
    detail = error_pb2.ErrorDetail(
        reason=describe(error)[1],
        request_id=call.request_id,
        provider=fault.provider or call.provider,
        upstream_model=fault.upstream_model or call.upstream_model,
        upstream_http_status=fault.http_status,
        upstream_code=fault.code,
        upstream_message=fault.message,
        upstream_request_id=fault.request_id,
        retryable=error.retryable,
        output_started=call.first_output_at is not None,
        attempts=[from_attempt(attempt, describe=describe) for attempt in call.attempts[:MOST_ATTEMPTS]],
    )
    wait = _wait(error)
    if wait is not None:
        fill_duration(detail.retry_after, wait)
    if call.usage is not None:
        detail.partial_usage.CopyFrom(from_usage(call.usage))
    return detail


def _metadata(error: ProxyError, call: Call) -> dict[str, str]:
    values = {name: _shortened(value, LONGEST_VALUE) for name, value in error.metadata.items()}
    return {**values, "requestId": call.request_id}


def _wait(error: ProxyError) -> float | None:
    """Seconds to wait, a day at most: a provider may ask for more than a Duration can say."""
    if error.retry_after is None or math.isnan(error.retry_after):
        return None
    return min(max(0.0, error.retry_after), LONGEST_WAIT)


def _shortened(text: str, longest: int) -> str:
    """A text of so many bytes at most."""
    encoded = text.encode()
    return text if len(encoded) <= longest else f"{encoded[: longest - 3].decode(errors='ignore')}…"


def _standard_details(error: ProxyError, call: Call) -> Iterable[Message]:
    """The details of google.rpc that generic clients understand."""
    if isinstance(error, InvalidRequest) and error.violations:
        yield error_details_pb2.BadRequest(
            field_violations=[
                error_details_pb2.BadRequest.FieldViolation(field=violation.field, description=violation.description)
                for violation in error.violations[:MOST_VIOLATIONS]
            ]
        )
    wait = _wait(error)
    if wait is not None and error.retryable:
        info = error_details_pb2.RetryInfo()
        info.retry_delay.SetInParent()
        fill_duration(info.retry_delay, wait)
        yield info
    if isinstance(error, errors.UpstreamQuotaExhausted):
        subject = f"provider:{(error.fault or Fault()).provider or call.provider}"
        violation = error_details_pb2.QuotaFailure.Violation(subject=subject, description=error.message)
        yield error_details_pb2.QuotaFailure(violations=[violation])


def _pushback(error: ProxyError) -> str | None:
    """What the caller's library should do: -1 not to repeat, milliseconds to wait, or nothing.

    Our attempts are used up when a provider's error leaves us: repeating it automatically would multiply paid calls.
    """
    seconds = _wait(error)
    wait = None if seconds is None else str(max(1, round(seconds * 1000)))
    if isinstance(error, errors.UpstreamRateLimited):
        return wait or NEVER
    if isinstance(error, errors.UpstreamError):
        return NEVER
    if isinstance(error, errors.ProxyOverloaded | errors.NoProviderAvailable):
        return wait or "1000"
    return None


def _within_budget(status: Status, detail: error_pb2.ErrorDetail) -> bytes:
    """Serializes the status, leaving out what matters least until it fits: clients lose larger trailers altogether."""
    serialized: bytes = status.SerializeToString()
    if len(serialized) <= MOST_BYTES:
        return serialized
    slim = error_pb2.ErrorDetail()
    slim.CopyFrom(detail)
    del slim.attempts[:]
    slim.upstream_message = ""
    status.details[1].CopyFrom(_packed([slim])[0])
    while status.ByteSize() > MOST_BYTES and _drop_violation(status):
        pass
    trimmed: bytes = status.SerializeToString()
    return trimmed


def _drop_violation(status: Status) -> bool:
    """Drops the last field violation; False if none is left to drop."""
    bad_request = error_details_pb2.BadRequest()
    for packed in status.details:
        if packed.Is(bad_request.DESCRIPTOR):
            packed.Unpack(bad_request)
            if not bad_request.field_violations:
                return False
            del bad_request.field_violations[-1]
            packed.Pack(bad_request)
            return True
    return False


def _packed(messages: Iterable[Message]) -> list[PackedAny]:
    packed = []
    for message in messages:
        wrapper = PackedAny()
        wrapper.Pack(message)
        packed.append(wrapper)
    return packed
