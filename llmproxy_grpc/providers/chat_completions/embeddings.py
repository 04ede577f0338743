"""Vectors by POST /embeddings, which servers of Chat Completions have beside it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.json import Decoder, Encoder

from llmproxy_grpc.errors import (
    CapabilityNotSupported,
    ContextLengthExceeded,
    Fault,
    ProxyError,
    UpstreamProtocolError,
)
from llmproxy_grpc.messages import EmbedPurpose, EmbedRequest, EmbedResponse, TextPart, Usage
from llmproxy_grpc.providers.chat_completions.quirks import EmbeddingStyle, PurposeStyle, Quirks
from llmproxy_grpc.providers.chat_completions.usage import read_usage
from llmproxy_grpc.providers.features import EmbedFeatures
from llmproxy_grpc.providers.jsonio import decode
from llmproxy_grpc.providers.options import add_options
from llmproxy_grpc.providers.vectors import Sent, read_vectors

PURPOSES: Mapping[PurposeStyle, Mapping[EmbedPurpose, str]] = {
    PurposeStyle.UNSUPPORTED: {},
    PurposeStyle.PASSAGE: {EmbedPurpose.DOCUMENT: "passage", EmbedPurpose.QUERY: "query"},
    PurposeStyle.SEARCH: {EmbedPurpose.DOCUMENT: "search_document", EmbedPurpose.QUERY: "search_query"},
}
_REQUIRED = frozenset({PurposeStyle.PASSAGE})
"""Where a purpose has to be said: for texts that are searched, if the caller does not say."""


class Embedding(Struct, gc=False):
    """One vector: numbers, or base64 whatever was asked for."""

    embedding: bytes | list[float] | None = None
    index: int | None = None


class EmbeddingList(Struct, gc=False):
    """A whole answer, or an error behind status 200."""

    data: list[Embedding] | None = None
    usage: Any = None
    id: Any = None
    error: Any = None
    detail: Any = None


_ENCODER = Encoder()
_LIST = Decoder(EmbeddingList)


def embed_features(quirks: Quirks) -> EmbedFeatures | None:
    """What a vendor can do with inputs; None if it makes no vectors."""
    if quirks.embeddings is EmbeddingStyle.UNSUPPORTED:
        return None
    return EmbedFeatures(
        dimensions=bool(quirks.dimensions_field),
        purposes=frozenset(PURPOSES[quirks.embed_purpose]),
        most_inputs=quirks.max_embed_inputs,
        most_bytes=quirks.max_embed_bytes,
    )


def encode_embed(request: EmbedRequest, model: str, quirks: Quirks, names: Sequence[str]) -> bytes:
    """Writes an adapted request for a vendor.

    Args:
        request: What is asked.
        model: The vendor's own name.
        quirks: What the vendor can do.
        names: Whose options are meant for it: the kind, then the vendor, which wins.
    """
    texts = [part.text for part in request.inputs if isinstance(part, TextPart)]
    body: dict[str, Any] = {"model": model, "input": texts}
    if quirks.embeddings is EmbeddingStyle.BASE64:
        body["encoding_format"] = "base64"
    if request.dimensions is not None:
        body[quirks.dimensions_field] = request.dimensions
    purpose = request.purpose
    if purpose is EmbedPurpose.UNSPECIFIED and quirks.embed_purpose in _REQUIRED:
        purpose = EmbedPurpose.DOCUMENT
    if purpose is not EmbedPurpose.UNSPECIFIED:
        body["input_type"] = PURPOSES[quirks.embed_purpose][purpose]
    if request.end_user_id and quirks.user_field:
        body[quirks.user_field] = request.end_user_id
    add_options(body, request.provider_options, names)
    return _ENCODER.encode(body)


def read_embed(
    data: bytes, request: EmbedRequest, *, request_id: str, failed: Callable[[bytes], ProxyError]
) -> EmbedResponse:
    """Reads the answer to a request.

    Args:
        data: What came behind status 200.
        request: What was asked.
        request_id: The provider's own id of it, if the headers have one.
        failed: Makes the error that `data` is, if it is one.

    Raises:
        UpstreamProtocolError: It is no answer.
        ProxyError: It is an error of the provider.
    """
    answer = decode(data, _LIST)
    if answer.error or (answer.detail and answer.data is None):
        raise failed(data)
    sent = _in_order(answer.data or ())
    vectors = read_vectors(sent, inputs=len(request.inputs), dimensions=request.dimensions)
    return EmbedResponse(vectors, _usage(answer.usage), request_id or (answer.id if isinstance(answer.id, str) else ""))


def embed_failure(error: ProxyError) -> ProxyError:
    """The error that a request for vectors met, where the status says another than the words.

    llama.cpp answers 501 unless it was started to make vectors, and 500 to an input that does not fit.
    """
    fault = error.fault or Fault()
    if fault.http_status == 501:
        return CapabilityNotSupported("This server makes no vectors.", fault=fault)
    if fault.http_status == 500 and "too large to process" in fault.message:
        return ContextLengthExceeded("An input does not fit the model.", fault=fault)
    return error


def _in_order(data: Sequence[Embedding]) -> Sequence[Sent]:
    """The vectors by their numbers; those without one stand as they came."""
    found = {position if item.index is None else item.index: item.embedding for position, item in enumerate(data)}
    if len(found) != len(data) or any(index not in found for index in range(len(data))):
        raise UpstreamProtocolError("The provider's vectors are not numbered as the inputs are.")
    return [found[index] for index in range(len(data))]


def _usage(raw: Any) -> Usage | None:
    """What the provider tells; a count of 0 tells nothing, as no input is empty."""
    usage = read_usage(raw)
    return usage if usage is not None and usage.input_tokens else None
