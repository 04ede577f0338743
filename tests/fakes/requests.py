"""Requests and answers that many tests share, and how to read a rich error."""

from typing import Any

import grpc
from google.rpc import error_details_pb2, status_pb2

from llmproxy_grpc._gen.v1 import chat_pb2, content_pb2, error_pb2


def chat_request(text: str = "Hi", model: str = "assistant") -> chat_pb2.ChatRequest:
    """A request of one user message."""
    message = content_pb2.Message(role=content_pb2.ROLE_USER, parts=[content_pb2.ContentPart(text=text)])
    return chat_pb2.ChatRequest(model=model, messages=[message])


def stream_request(text: str = "Hi", model: str = "assistant", **options: Any) -> chat_pb2.StreamRequest:
    """The same as a stream; `options` are StreamOptions."""
    return chat_pb2.StreamRequest(chat=chat_request(text, model), options=chat_pb2.StreamOptions(**options))


class RichError:
    """A failed call's status, unpacked."""

    def __init__(self, error: grpc.RpcError) -> None:
        self.trailers = dict(error.trailing_metadata() or ())
        self.code = error.code()
        self.message = error.details()
        self.status = status_pb2.Status.FromString(self.trailers["grpc-status-details-bin"])
        self.info = self._unpack(error_details_pb2.ErrorInfo())
        self.detail = self._unpack(error_pb2.ErrorDetail())
        self.bad_request = self._unpack(error_details_pb2.BadRequest())
        self.retry_info = self._unpack(error_details_pb2.RetryInfo())

    @property
    def reason(self) -> str:
        return self.info.reason

    @property
    def fields(self) -> list[str]:
        return [violation.field for violation in self.bad_request.field_violations]

    @property
    def pushback(self) -> str | None:
        return self.trailers.get("grpc-retry-pushback-ms")

    def _unpack(self, message: Any) -> Any:
        for packed in self.status.details:
            if packed.Unpack(message):
                return message
        return message


async def broken_off(call: Any) -> tuple[list[Any], RichError]:
    """Reads a stream that must fail: the events that come before, and the error."""
    events = []
    try:
        while (event := await call.read()) is not grpc.aio.EOF:
            events.append(event)
    except grpc.aio.AioRpcError as error:
        return events, RichError(error)
    raise AssertionError("the call did not fail")


async def failure(call: Any) -> RichError:
    """Awaits a unary call, or reads a stream, that must fail."""
    try:
        if hasattr(call, "__aiter__"):
            async for _ in call:
                pass
        else:
            await call
    except grpc.aio.AioRpcError as error:
        return RichError(error)
    raise AssertionError("the call did not fail")
