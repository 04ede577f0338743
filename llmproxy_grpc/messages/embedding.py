"""Vectors: what is asked for, and what comes back."""

from array import array
from collections.abc import Mapping

from msgspec import Struct

from llmproxy_grpc.messages.answer import Usage, Warning
from llmproxy_grpc.messages.content import JsonObject, Part
from llmproxy_grpc.messages.enumerations import EmbedPurpose
from llmproxy_grpc.messages.request import RoutingPolicy


class EmbedRequest(Struct, frozen=True):
    """Inputs to embed, valid by the rules of the API; `dimensions` None for the model's own length."""

    model: str
    inputs: tuple[Part, ...]
    dimensions: int | None = None
    purpose: EmbedPurpose = EmbedPurpose.UNSPECIFIED
    end_user_id: str = ""
    labels: Mapping[str, str] = {}
    routing: RoutingPolicy = RoutingPolicy()
    provider_options: Mapping[str, JsonObject] = {}


class EmbedResponse(Struct, frozen=True):
    """What one provider answered to one attempt of an Embed: a vector for each input, in order.

    Vectors are arrays of type `f`, single precision as on the wire: a large answer holds millions of numbers, too many
    for an object each.
    """

    vectors: tuple["array[float]", ...]
    usage: Usage | None = None
    upstream_request_id: str = ""
    warnings: tuple[Warning, ...] = ()
