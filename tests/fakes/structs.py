"""Values of JSON as protobuf."""

from google.protobuf.struct_pb2 import Struct

from llmproxy_grpc.messages import JsonObject
from llmproxy_grpc.wire.scalars import mending
from llmproxy_grpc.wire.structs import fill_struct


@mending
def struct(value: JsonObject) -> Struct:
    """An object as the server writes it."""
    target = Struct()
    fill_struct(target, value)
    return target
