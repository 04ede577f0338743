"""Vectors, as AI Studio and Vertex AI make them; older models of Vertex AI have an API of their own."""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.json import Decoder, encode

from llmproxy_grpc.messages import EmbedRequest, EmbedResponse, MediaPart, Part, TextPart, Usage
from llmproxy_grpc.providers.counts import clipped
from llmproxy_grpc.providers.generate_content.features import NAMES, PURPOSES
from llmproxy_grpc.providers.generate_content.history import Fields, media
from llmproxy_grpc.providers.jsonio import decode
from llmproxy_grpc.providers.options import add_options
from llmproxy_grpc.providers.vectors import read_vectors


class Statistics(Struct, gc=False):
    """What an input took."""

    token_count: Any = None
    tokenCount: Any = None  # noqa: N815 - their names


class Vector(Struct, gc=False):
    """One vector."""

    values: list[float]
    statistics: Statistics | None = None


class Counts(Struct, gc=False):
    """What all inputs took."""

    promptTokenCount: Any = None  # noqa: N815


class Vectors(Struct, gc=False):
    """The vectors of a batch."""

    embeddings: list[Vector]
    usageMetadata: Counts | None = None  # noqa: N815


class Prediction(Struct, gc=False):
    """One vector of an older model."""

    embeddings: Vector


class Predictions(Struct, gc=False):
    """The vectors of a batch, of an older model."""

    predictions: list[Prediction]


_VECTORS = Decoder(Vectors)
_PREDICTIONS = Decoder(Predictions)
_UNCUT: Mapping[str, Any] = {"autoTruncate": False}
"""What is too long is an error, as everywhere, where Vertex AI would cut it off; AI Studio has no such field."""


def encode_batch(request: EmbedRequest, name: str) -> bytes:
    """Encodes a request to AI Studio; `name` is the model's, with its folder."""
    fields = {"model": name, **_settings(request)}
    return encode({"requests": [{**fields, "content": _content(part)} for part in request.inputs]})


def encode_vertex_batch(request: EmbedRequest) -> bytes:
    """The same as Vertex AI takes it."""
    fields = {"embedContentConfig": {**_UNCUT, **_settings(request)}}
    return encode({"requests": [{**fields, "content": _content(part)} for part in request.inputs]})


def encode_predict(request: EmbedRequest) -> bytes:
    """Encodes a request for vectors of an older model at Vertex AI."""
    purpose = {"task_type": PURPOSES[request.purpose]} if request.purpose in PURPOSES else {}
    parameters: Fields = {**_UNCUT}
    if request.dimensions is not None:
        parameters["outputDimensionality"] = request.dimensions
    add_options(parameters, request.provider_options, NAMES)
    instances = [{"content": _text(part), **purpose} for part in request.inputs]
    return encode({"instances": instances, "parameters": parameters})


def read_batch(data: bytes, request: EmbedRequest) -> EmbedResponse:
    """Reads the vectors of a request's inputs.

    Raises:
        UpstreamProtocolError: They are not there, or others than were asked for.
    """
    answer = decode(data, _VECTORS)
    total = answer.usageMetadata.promptTokenCount if answer.usageMetadata is not None else None
    return _response(answer.embeddings, request, clipped(total))


def read_predictions(data: bytes, request: EmbedRequest) -> EmbedResponse:
    """Reads the vectors that an older model made; raises as `read_batch` does."""
    return _response([each.embeddings for each in decode(data, _PREDICTIONS).predictions], request)


def _response(sent: Sequence[Vector], request: EmbedRequest, tokens: int = 0) -> EmbedResponse:
    vectors = read_vectors([each.values for each in sent], inputs=len(request.inputs), dimensions=request.dimensions)
    if not tokens:
        told = [each.statistics for each in sent if each.statistics is not None]
        tokens = clipped(sum(clipped(each.token_count) or clipped(each.tokenCount) for each in told))
    return EmbedResponse(vectors, Usage(tokens, 0, tokens) if tokens else None)


def _settings(request: EmbedRequest) -> Fields:
    fields: Fields = {}
    if request.purpose in PURPOSES:
        fields["taskType"] = PURPOSES[request.purpose]
    if request.dimensions is not None:
        fields["outputDimensionality"] = request.dimensions
    add_options(fields, request.provider_options, NAMES)
    return fields


def _content(part: Part) -> Fields:
    return {"parts": [media(part) if isinstance(part, MediaPart) else {"text": _text(part)}]}


def _text(part: Part) -> str:
    return part.text if isinstance(part, TextPart) else ""
