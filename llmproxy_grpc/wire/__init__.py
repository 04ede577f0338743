"""Protobuf to the server's own values and back: the only place that knows both.

`to_*` read a message that `server/validation` has accepted; `from_*` take any value that a provider may have made:
numbers that do not fit are clamped, lone surrogates become U+FFFD. Nothing here raises for its input.
"""

from llmproxy_grpc.wire.content_reading import to_message, to_part
from llmproxy_grpc.wire.content_writing import from_message, from_part
from llmproxy_grpc.wire.embedding import from_embed_response, to_embed_request
from llmproxy_grpc.wire.events import delta_event, end_event, finish_event, heartbeat_event, start_event
from llmproxy_grpc.wire.request import to_request
from llmproxy_grpc.wire.response import from_attempt, from_response, from_usage
from llmproxy_grpc.wire.structs import from_json, to_json

__all__ = [
    "to_request",
    "to_embed_request",
    "to_message",
    "to_part",
    "to_json",
    "from_response",
    "from_embed_response",
    "from_message",
    "from_part",
    "from_json",
    "from_usage",
    "from_attempt",
    "start_event",
    "delta_event",
    "finish_event",
    "end_event",
    "heartbeat_event",
]
