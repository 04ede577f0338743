"""What metadata tells of a call, so that sidecars can meter without parsing bodies: who answered, and what it used."""

from typing import Final

from llmproxy_grpc._gen.v1 import generation_pb2
from llmproxy_grpc.calls import Call
from llmproxy_grpc.server.rpc import Rpc
from llmproxy_grpc.wire import from_usage

Entries = tuple[tuple[str, str | bytes], ...]

USAGE_KEY: Final = "llmproxy-usage-bin"


def send_trailers(rpc: Rpc, *, with_target: bool, usage: generation_pb2.Usage | None = None) -> None:
    """Sets the request id, the usage and, unless a stream's first message told it, which target answered.

    Args:
        rpc: The RPC.
        with_target: Whether the target is told.
        usage: The usage as the answer has it, if it is written already.
    """
    call = rpc.call
    target = target_entries(call) if with_target else ()
    used = usage_entries(call) if usage is None else ((USAGE_KEY, usage.SerializeToString()),)
    rpc.trailers = (("x-request-id", call.request_id), *target, *used)
    rpc.context.set_trailing_metadata(rpc.trailers)


def add_trailer(rpc: Rpc, name: str, value: str) -> None:
    """Sends one more entry besides those."""
    rpc.trailers = (*rpc.trailers, (name, value))
    rpc.context.set_trailing_metadata(rpc.trailers)


def target_entries(call: Call) -> Entries:
    """Which target answers."""
    return ("llmproxy-provider", call.provider), ("llmproxy-model", header_value(call.upstream_model))


def usage_entries(call: Call) -> Entries:
    """What the call used, as a serialized Usage; nothing if that is not known."""
    if call.usage is None:
        return ()
    return ((USAGE_KEY, from_usage(call.usage).SerializeToString()),)


def header_value(text: str) -> str:
    """A text that metadata can carry: printable ASCII, 256 characters at most."""
    if text.isascii() and text.isprintable() and len(text) <= 256:
        return text
    return "".join(character if " " <= character <= "~" else "?" for character in text[:256])
