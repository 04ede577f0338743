"""A route's defaults: what of a conversation's settings the caller left open."""

from msgspec import structs

from llmproxy_grpc.config.schema import ModelDefaults
from llmproxy_grpc.messages import ChatRequest, GenerationConfig
from llmproxy_grpc.routing.operations import Request


def with_defaults(request: Request, defaults: ModelDefaults | None) -> Request:
    """Fills unset settings of a conversation from the route's defaults; other requests have no such settings."""
    if defaults is None or not isinstance(request, ChatRequest):
        return request
    current = request.generation
    unset: dict[str, object] = {
        name: value for name, value in defaults.settings().items() if getattr(current, name) in (None, ())
    }
    if not unset:
        return request
    generation: GenerationConfig = structs.replace(current, **unset)
    return structs.replace(request, generation=generation)
