"""Protobuf to the server's own values and back.

Of requests, `to_*` read those that `server/validation` has accepted; of answers, whatever an upstream may have sent.
`from_*` and `*_event` take any value: numbers that do not fit are clamped, lone surrogates become U+FFFD. Nothing here
raises for its input.
"""

from llmproxy_grpc.wire.content_reading import to_message, to_part
from llmproxy_grpc.wire.embedding import from_embed_request, from_embed_response, to_embed_request, to_embed_response
from llmproxy_grpc.wire.events import (
    delta_event,
    end_event,
    finish_event,
    heartbeat_event,
    start_event,
    warning_event,
)
from llmproxy_grpc.wire.events_reading import to_delta, to_finish
from llmproxy_grpc.wire.request import to_request
from llmproxy_grpc.wire.request_writing import count_request, from_request, stream_request
from llmproxy_grpc.wire.response import from_attempt, from_response, from_usage
from llmproxy_grpc.wire.response_reading import (
    to_candidates,
    to_metadata,
    to_response,
    to_usage,
    to_warning,
    to_warnings,
)
from llmproxy_grpc.wire.structs import to_json

__all__ = [
    "to_request",
    "to_embed_request",
    "to_message",
    "to_part",
    "to_json",
    "to_candidates",
    "to_response",
    "to_embed_response",
    "to_delta",
    "to_finish",
    "to_usage",
    "to_warning",
    "to_warnings",
    "to_metadata",
    "from_request",
    "stream_request",
    "count_request",
    "from_embed_request",
    "from_response",
    "from_embed_response",
    "from_usage",
    "from_attempt",
    "start_event",
    "delta_event",
    "finish_event",
    "end_event",
    "heartbeat_event",
    "warning_event",
]
