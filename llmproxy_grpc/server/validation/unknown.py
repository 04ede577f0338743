"""Fields that a newer client has set and this version does not know."""

from collections.abc import Mapping

from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet

from llmproxy_grpc._gen.v1 import chat_pb2, embed_pb2, generation_pb2

_MAX_NAMED = 20

# One unknown field may stand in a message a million times.
_MAX_READ = 1000

# All unknown fields of a message are listed before the first can be read: as many as 32,000 of two bytes, in 20 ms.
_MAX_SEARCHED = 65_536

# Where new settings will come: looking everywhere would cost more than it tells.
_NESTED: Mapping[type[Message], tuple[str, ...]] = {
    chat_pb2.ChatRequest: ("generation", "routing", "tool_choice"),
    chat_pb2.StreamRequest: ("options",),
    embed_pb2.EmbedRequest: ("routing",),
    generation_pb2.GenerationConfig: ("reasoning", "response_format"),
}


def unknown_fields(message: Message, *, request_bytes: int = 0) -> list[str]:
    """Gives the paths of unknown fields in a request and its settings, by number: `generation.99`; 20 at most.

    The `chat` of another request is a request of its own: ask for it separately.

    Args:
        message: The request.
        request_bytes: Its size as far as known. What is larger than 64 KiB is not searched, only what is within it.
    """
    paths: list[str] = []
    _collect(message, "", paths, request_bytes)
    return paths[:_MAX_NAMED]


def _collect(message: Message, prefix: str, paths: list[str], size: int) -> None:
    if size <= _MAX_SEARCHED:
        unknown = UnknownFieldSet(message)
        if len(unknown):
            numbers = {unknown[index].field_number for index in range(min(len(unknown), _MAX_READ))}
            paths.extend(f"{prefix}{number}" for number in sorted(numbers))
    for name in _NESTED.get(type(message), ()):
        if message.HasField(name):
            inner = getattr(message, name)
            # What is within a small message is small as well, and need not be measured.
            inner_size = size if size <= _MAX_SEARCHED else inner.ByteSize()
            _collect(inner, f"{prefix}{name}.", paths, inner_size)
