"""Stored content as the server's own values, and as the words that were said."""

from collections.abc import Iterator

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError
from msgspec import Struct

from llmproxy_grpc._gen.v1 import chat_pb2, content_pb2, error_pb2
from llmproxy_grpc.datasets.example import FailedAttempt, Failure
from llmproxy_grpc.messages import (
    ChatRequest,
    Message,
    Part,
    ProviderResponse,
    RefusalPart,
    Role,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from llmproxy_grpc.records.record import Body
from llmproxy_grpc.wire import to_message, to_request, to_response, to_usage


class Unreadable(Exception):
    """Stored content that is no message of the API: damaged, or written by a newer version."""


class Content(Struct, frozen=True):
    """The content of one call, and what its answer says of how it came about."""

    request: ChatRequest
    response: ProviderResponse
    failed_attempts: tuple[FailedAttempt, ...] = ()
    upstream_request_id: str = ""
    cache_hit: bool = False

    @property
    def messages(self) -> tuple[Message, ...]:
        """Prompt and answers."""
        return (*self.request.messages, *[candidate.message for candidate in self.response.candidates])


def read_content(body: Body) -> Content:
    """Request and response of a record.

    Raises:
        Unreadable: They cannot be read.
    """
    try:
        request = chat_pb2.ChatRequest.FromString(body.request)
        response = chat_pb2.ChatResponse.FromString(body.response)
        route = response.route
        return Content(
            request=to_request(request),
            response=to_response(response),
            failed_attempts=tuple(map(_to_attempt, route.failed_attempts)),
            upstream_request_id=route.upstream_request_id,
            cache_hit=route.cache_hit,
        )
    except (DecodeError, ValueError, TypeError) as error:
        raise Unreadable from error


def check_content(body: Body) -> None:
    """Looks whether request and response can be read.

    Raises:
        Unreadable: They cannot.
    """
    try:
        chat_pb2.ChatRequest.FromString(body.request)
        chat_pb2.ChatResponse.FromString(body.response)
    except DecodeError as error:
        raise Unreadable from error


def read_failure(data: bytes) -> Failure:
    """Why a call failed.

    Raises:
        Unreadable: It cannot be read.
    """
    try:
        error = error_pb2.ErrorDetail.FromString(data)
    except DecodeError as fault:
        raise Unreadable from fault
    return Failure(
        reason=_reason(error.reason),
        request_id=error.request_id,
        provider=error.provider,
        upstream_model=error.upstream_model,
        upstream_http_status=error.upstream_http_status,
        upstream_code=error.upstream_code,
        upstream_message=error.upstream_message,
        upstream_request_id=error.upstream_request_id,
        retryable=error.retryable,
        retry_after_us=_microseconds(error.retry_after) if error.HasField("retry_after") else None,
        output_started=error.output_started,
        partial_usage=to_usage(error.partial_usage) if error.HasField("partial_usage") else None,
        attempts=tuple(map(_to_attempt, error.attempts)),
    )


def read_message(data: bytes) -> Message:
    """A message on its own, as a demonstration is kept.

    Raises:
        Unreadable: It cannot be read.
    """
    try:
        return to_message(content_pb2.Message.FromString(data))
    except (DecodeError, ValueError, TypeError) as error:
        raise Unreadable from error


def read_texts(body: Body) -> list[tuple[Role, str]]:
    """What was said, message by message: texts, refusals, arguments of tool calls and their results.

    Raises:
        Unreadable: The content cannot be read.
    """
    return [(message.role, text) for message in read_content(body).messages for text in texts_of(message.parts)]


def texts_of(parts: tuple[Part, ...]) -> Iterator[str]:
    """What is said in parts of a message."""
    for part in parts:
        match part:
            case TextPart() | RefusalPart():
                yield part.text
            case ToolCallPart():
                yield part.arguments_json
            case ToolResultPart():
                yield from texts_of(part.content)
            case _:
                pass


def _to_attempt(attempt: error_pb2.Attempt) -> FailedAttempt:
    return FailedAttempt(
        provider=attempt.provider,
        upstream_model=attempt.upstream_model,
        grpc_code=attempt.grpc_code,
        upstream_http_status=attempt.upstream_http_status,
        reason=_reason(attempt.reason),
        latency_us=_microseconds(attempt.latency) if attempt.HasField("latency") else None,
        usage=to_usage(attempt.usage) if attempt.HasField("usage") else None,
    )


def _reason(number: int) -> str:
    """The contract's reason; empty for one that this version does not know."""
    value = error_pb2.ErrorReason.DESCRIPTOR.values_by_number.get(number)
    return value.name.removeprefix("ERROR_REASON_") if value is not None and number else ""


def _microseconds(duration: Duration) -> int:
    return duration.seconds * 1_000_000 + duration.nanos // 1000
