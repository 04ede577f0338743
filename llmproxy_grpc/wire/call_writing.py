"""What every kind of request says of its call, to protobuf."""

from llmproxy_grpc._gen.v1 import chat_pb2
from llmproxy_grpc.messages import ChatRequest, EmbedRequest, RoutingPolicy
from llmproxy_grpc.wire.call import Request
from llmproxy_grpc.wire.scalars import fill_duration
from llmproxy_grpc.wire.structs import fill_struct

_DEFAULT_ROUTING = RoutingPolicy()


def fill_call(target: Request, request: ChatRequest | EmbedRequest) -> None:
    """Writes the end user, the labels, the routing and the providers' options in place."""
    if request.end_user_id:
        target.end_user_id = request.end_user_id
    if request.labels:
        target.labels.update(request.labels)
    if request.routing != _DEFAULT_ROUTING:
        _fill_routing(target.routing, request.routing)
    for kind, options in request.provider_options.items():
        fill_struct(target.provider_options[kind], options)


def _fill_routing(target: chat_pb2.RoutingPolicy, policy: RoutingPolicy) -> None:
    target.providers.extend(policy.providers)
    target.fallback_models.extend(policy.fallback_models)
    if policy.max_attempts is not None:
        target.max_attempts = policy.max_attempts
    if policy.first_token_timeout is not None:
        fill_duration(target.first_token_timeout, policy.first_token_timeout)
    if policy.idle_timeout is not None:
        fill_duration(target.idle_timeout, policy.idle_timeout)
    if policy.drop_unsupported:
        target.unsupported_params = chat_pb2.UNSUPPORTED_PARAMS_DROP
