"""What the trailers of a successful call tell, so that sidecars can meter without parsing bodies."""

from llmproxy_grpc.server.rpc import Rpc
from llmproxy_grpc.server.wire import from_usage


def send_trailers(rpc: Rpc, *, with_target: bool) -> None:
    """Sets the request id, the usage and, unless a stream's first message told it, which target answered."""
    call = rpc.call
    trailers: list[tuple[str, str | bytes]] = [("x-request-id", call.request_id)]
    if with_target:
        trailers.append(("llmproxy-provider", call.provider))
        trailers.append(("llmproxy-model", header_value(call.upstream_model)))
    if call.usage is not None:
        trailers.append(("llmproxy-usage-bin", from_usage(call.usage).SerializeToString()))
    rpc.context.set_trailing_metadata(tuple(trailers))


def header_value(text: str) -> str:
    """A text that metadata can carry: printable ASCII, 256 characters at most."""
    if text.isascii() and text.isprintable() and len(text) <= 256:
        return text
    return "".join(character if " " <= character <= "~" else "?" for character in text[:256])
