"""What every kind of request says of its call, from protobuf: whose it is, and where it may go."""

from collections.abc import Mapping

from llmproxy_grpc._gen.v1 import chat_pb2, embed_pb2
from llmproxy_grpc.messages import JsonObject, RoutingPolicy
from llmproxy_grpc.wire.scalars import to_seconds
from llmproxy_grpc.wire.structs import to_json

Request = chat_pb2.ChatRequest | embed_pb2.EmbedRequest

_DEFAULT_ROUTING = RoutingPolicy()


def to_labels(request: Request) -> Mapping[str, str]:
    """Gives the caller's labels."""
    labels = request.labels
    return dict(labels) if labels else {}


def to_options(request: Request) -> Mapping[str, JsonObject]:
    """Gives the providers' options, by kind."""
    options = request.provider_options
    return {kind: to_json(struct) for kind, struct in options.items()} if options else {}


def to_routing(request: Request) -> RoutingPolicy:
    """Gives the caller's constraints on where the call may go."""
    if not request.HasField("routing"):
        return _DEFAULT_ROUTING
    policy = request.routing
    return RoutingPolicy(
        providers=tuple(policy.providers),
        fallback_models=tuple(policy.fallback_models),
        max_attempts=policy.max_attempts if policy.HasField("max_attempts") else None,
        first_token_timeout=(
            to_seconds(policy.first_token_timeout) if policy.HasField("first_token_timeout") else None
        ),
        idle_timeout=to_seconds(policy.idle_timeout) if policy.HasField("idle_timeout") else None,
        drop_unsupported=policy.unsupported_params == chat_pb2.UNSUPPORTED_PARAMS_DROP,
    )
