"""The rules of the API that protobuf cannot say, checked in one walk that names every wrong field at once."""

from llmproxy_grpc.server.validation.embed import validate_embed
from llmproxy_grpc.server.validation.export import validate_export
from llmproxy_grpc.server.validation.features import features_off
from llmproxy_grpc.server.validation.request import validate
from llmproxy_grpc.server.validation.stream import validate_stream_options
from llmproxy_grpc.server.validation.unknown import unknown_fields

__all__ = ["validate", "validate_embed", "validate_export", "validate_stream_options", "features_off", "unknown_fields"]
