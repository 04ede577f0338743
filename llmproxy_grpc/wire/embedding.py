"""Vectors: what is asked for, from protobuf, and what comes back, to protobuf."""

from array import array

from llmproxy_grpc._gen.v1 import embed_pb2 as pb
from llmproxy_grpc.calls import Call
from llmproxy_grpc.messages import EmbedPurpose, EmbedRequest, EmbedResponse
from llmproxy_grpc.wire.call import to_labels, to_options, to_routing
from llmproxy_grpc.wire.call_writing import fill_call
from llmproxy_grpc.wire.content_reading import to_part
from llmproxy_grpc.wire.content_writing import fill_part
from llmproxy_grpc.wire.response import Describe, fill_route, fill_usage, fill_warnings
from llmproxy_grpc.wire.response_reading import to_usage, to_warnings
from llmproxy_grpc.wire.scalars import floats_packed, mending, number, packed_floats, varint

_PURPOSES = {purpose.value: purpose for purpose in EmbedPurpose}

_VALUES = bytes([pb.Embedding.VALUES_FIELD_NUMBER << 3 | 2])
"""The tag before packed values."""


def to_embed_request(request: pb.EmbedRequest) -> EmbedRequest:
    """Gives a validated request; an unknown purpose, which validation refuses, counts as none."""
    return EmbedRequest(
        model=request.model,
        inputs=tuple([to_part(part) for part in request.inputs]),
        dimensions=request.dimensions if request.HasField("dimensions") else None,
        purpose=_PURPOSES.get(request.purpose, EmbedPurpose.UNSPECIFIED),
        end_user_id=request.end_user_id,
        labels=to_labels(request),
        routing=to_routing(request),
        provider_options=to_options(request),
    )


@mending
def from_embed_request(request: EmbedRequest) -> pb.EmbedRequest:
    """Gives a request as protobuf, for an upstream that speaks our own API."""
    target = pb.EmbedRequest(model=request.model, purpose=number(request.purpose))
    for part in request.inputs:
        fill_part(target.inputs.add(), part)
    if request.dimensions is not None:
        target.dimensions = request.dimensions
    fill_call(target, request)
    return target


def to_embed_response(response: pb.EmbedResponse) -> EmbedResponse:
    """Gives the vectors of such an upstream's answer, with usage and warnings."""
    return EmbedResponse(
        tuple([_vector(embedding) for embedding in response.embeddings]),
        to_usage(response.usage) if response.HasField("usage") else None,
        warnings=to_warnings(response.warnings),
    )


@mending
def from_embed_response(response: EmbedResponse, call: Call, *, describe: Describe) -> pb.EmbedResponse:
    """Gives the answer to a call; the arguments are those of `from_response`."""
    target = pb.EmbedResponse(id=call.id, model=call.model)
    embeddings = target.embeddings
    for vector in response.vectors:
        embeddings.add().MergeFromString(_embedding(vector))
    usage = call.usage or response.usage
    if usage is not None:
        fill_usage(target.usage, usage)
    fill_route(target.route, call, describe=describe)
    fill_warnings(target.warnings, call.warnings)
    return target


def _embedding(vector: "array[float]") -> bytes:
    """A vector as a serialized Embedding: an object for each number would be slow.

    To fill in 2,048 vectors of 1,536 numbers one by one takes 110 ms, in which no other call runs; this takes 7.
    """
    values = packed_floats(vector)
    return b"".join((_VALUES, varint(len(values)), values))


def _vector(embedding: pb.Embedding) -> "array[float]":
    """An Embedding as a vector: read from its serialized form, for the same reason."""
    length = 4 * len(embedding.values)
    begin = len(_VALUES) + len(varint(length))
    return floats_packed(embedding.SerializeToString()[begin : begin + length])
