"""Vectors, as AI Studio and Vertex AI make them."""

from typing import Any

from msgspec import Struct
from msgspec.json import Decoder, encode

from llmproxy_grpc.messages import EmbedRequest, EmbedResponse, Part, TextPart, Usage
from llmproxy_grpc.providers.counts import clipped
from llmproxy_grpc.providers.generate_content.features import NAMES, PURPOSES
from llmproxy_grpc.providers.jsonio import decode
from llmproxy_grpc.providers.options import add_options
from llmproxy_grpc.providers.vectors import read_vectors


class Statistics(Struct, gc=False):
    """What an input took."""

    token_count: Any = None


class Vector(Struct, gc=False):
    """One vector."""

    values: list[float]
    statistics: Statistics | None = None


class Vectors(Struct, gc=False):
    """The vectors of a batch at AI Studio."""

    embeddings: list[Vector]


class Prediction(Struct, gc=False):
    """One vector at Vertex AI."""

    embeddings: Vector


class Predictions(Struct, gc=False):
    """The vectors of a batch at Vertex AI."""

    predictions: list[Prediction]


_VECTORS = Decoder(Vectors)
_PREDICTIONS = Decoder(Predictions)


def encode_batch(request: EmbedRequest, name: str) -> bytes:
    """Encodes a request to AI Studio; `name` is the model's, with its folder."""
    fields: dict[str, Any] = {"model": name}
    if request.purpose in PURPOSES:
        fields["taskType"] = PURPOSES[request.purpose]
    if request.dimensions is not None:
        fields["outputDimensionality"] = request.dimensions
    add_options(fields, request.provider_options, NAMES)
    return encode({"requests": [{**fields, "content": {"parts": [{"text": _text(part)}]}} for part in request.inputs]})


def encode_predict(request: EmbedRequest) -> bytes:
    """Encodes a request to Vertex AI."""
    purpose = {"task_type": PURPOSES[request.purpose]} if request.purpose in PURPOSES else {}
    parameters: dict[str, Any] = {}
    if request.dimensions is not None:
        parameters["outputDimensionality"] = request.dimensions
    add_options(parameters, request.provider_options, NAMES)
    instances = [{"content": _text(part), **purpose} for part in request.inputs]
    return encode({"instances": instances, "parameters": parameters})


def read_batch(data: bytes, request: EmbedRequest, *, vertex: bool) -> EmbedResponse:
    """Reads the vectors of a request's inputs.

    Raises:
        UpstreamProtocolError: They are not there, or others than were asked for.
    """
    if vertex:
        vectors = [each.embeddings for each in decode(data, _PREDICTIONS).predictions]
    else:
        vectors = decode(data, _VECTORS).embeddings
    read = read_vectors([each.values for each in vectors], inputs=len(request.inputs), dimensions=request.dimensions)
    tokens = sum(clipped(each.statistics.token_count) for each in vectors if each.statistics is not None)
    usage = Usage(tokens, 0, tokens) if tokens else None
    return EmbedResponse(read, usage)


def _text(part: Part) -> str:
    return part.text if isinstance(part, TextPart) else ""
