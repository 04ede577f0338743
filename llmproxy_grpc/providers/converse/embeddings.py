"""Vectors by InvokeModel."""

import re
from collections.abc import Callable, Sequence
from typing import Final

from msgspec.json import encode

from llmproxy_grpc.errors import ProxyError
from llmproxy_grpc.messages import EmbedRequest, EmbedResponse, Usage
from llmproxy_grpc.providers.converse.embed_layouts import Layout
from llmproxy_grpc.providers.counts import clipped
from llmproxy_grpc.providers.options import add_options
from llmproxy_grpc.providers.vectors import read_vectors

_COUNT: Final = re.compile(r"[0-9]{1,10}")


def encode_embed(request: EmbedRequest, layout: Layout, names: Sequence[str]) -> bytes:
    """Encodes an adapted request; `names` says whose options are meant."""
    body = layout.write(request)
    add_options(body, request.provider_options, names)
    return encode(body)


def read_embed(
    data: bytes, request: EmbedRequest, layout: Layout, *, counted: str, failed: Callable[[bytes], ProxyError]
) -> EmbedResponse:
    """Reads the answer to a request.

    Args:
        data: What came behind status 200.
        request: What was asked.
        layout: That of the model.
        counted: The number of tokens that a header tells; empty if none does.
        failed: Makes the error that `data` is, if it is one.

    Raises:
        UpstreamProtocolError: It is no answer, or has other vectors than were asked for.
        ProxyError: It is an error of the provider.
    """
    answer = layout.read(data)
    sent = answer.sent()
    if answer.message and not any(sent):
        raise failed(data)
    vectors = read_vectors(sent, inputs=len(request.inputs), dimensions=request.dimensions)
    tokens = answer.tokens() or (clipped(int(counted)) if _COUNT.fullmatch(counted) else 0)
    return EmbedResponse(vectors, Usage(tokens, 0, tokens) if tokens else None)
