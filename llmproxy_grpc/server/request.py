"""Accepts a request: every wrong field named at once, or the server's own value of it."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Final

from google.protobuf.message import Message as AnyMessage

from llmproxy_grpc._gen.v1 import chat_pb2, embed_pb2
from llmproxy_grpc.aside import MANY, aside, aside_if_long
from llmproxy_grpc.calls import Call
from llmproxy_grpc.errors import FeatureDisabled, FieldViolation, InvalidRequest, name_fields
from llmproxy_grpc.messages import ChatRequest, EmbedRequest, Warning
from llmproxy_grpc.routing.router import Router
from llmproxy_grpc.server.validation import features_off, unknown_fields, validate, validate_embed
from llmproxy_grpc.wire import to_embed_request, to_request

LARGE: Final = 262_144
"""Bytes of a request from which on it is accepted beside the event loop, whatever it consists of."""

RouterLease = Callable[[], AbstractContextManager[Router]]
"""Lends the current router: a reload waits for the calls that hold the old one."""


async def accept(
    request: chat_pb2.ChatRequest, call: Call, *, prefix: str = "", others: Sequence[FieldViolation] = ()
) -> ChatRequest:
    """Gives the request as the router takes it.

    Args:
        request: The request as it came.
        call: Takes the model's name, and a warning for each unknown field.
        prefix: What stands before the request's own paths, such as `chat.`.
        others: Violations found elsewhere in the same call.

    Raises:
        InvalidRequest: Names every wrong field.
        FeatureDisabled: Names every field whose feature is not built.
    """
    if call.request_bytes >= LARGE:
        # Its messages may be few, and the values in them very many.
        return await aside(_accepted, request, call, prefix, others)
    return await aside_if_long(_accepted, request, call, prefix, others)


async def accept_embed(request: embed_pb2.EmbedRequest, call: Call) -> EmbedRequest:
    """Gives a request for vectors as the router takes it; `call` and errors as with `accept`."""
    if call.request_bytes >= LARGE or len(request.inputs) >= MANY:
        return await aside(_accepted_embed, request, call)
    return _accepted_embed(request, call)


def _accepted(request: chat_pb2.ChatRequest, call: Call, prefix: str, others: Sequence[FieldViolation]) -> ChatRequest:
    call.model = request.model
    violations = [*others, *validate(request, prefix=prefix)]
    if violations:
        raise invalid(violations)
    disabled = features_off(request, prefix=prefix)
    if disabled:
        fields = name_fields([violation.field for violation in disabled])
        raise FeatureDisabled(
            f"Not built in this version: {fields}. Leave it unset.", violations=disabled, metadata={"fields": fields}
        )
    warn_of_unknown_fields(request, call, prefix)
    return to_request(request)


def _accepted_embed(request: embed_pb2.EmbedRequest, call: Call) -> EmbedRequest:
    call.model = request.model
    violations = validate_embed(request)
    if violations:
        raise invalid(violations)
    warn_of_unknown_fields(request, call)
    return to_embed_request(request)


def invalid(violations: Sequence[FieldViolation]) -> InvalidRequest:
    """The error for wrong fields; its message names the first of them, its details all."""
    fields = name_fields([violation.field for violation in violations])
    return InvalidRequest(f"The request is not valid: {fields}.", violations=violations)


def warn_of_unknown_fields(message: AnyMessage, call: Call, prefix: str = "") -> None:
    """Tells a newer client that a field of its request is not known here; of a large one in its settings alone."""
    for path in unknown_fields(message, request_bytes=call.request_bytes):
        text = "This server does not know the field and ignored it."
        call.warnings.append(Warning("UNKNOWN_FIELD", f"{prefix}{path}", text))
