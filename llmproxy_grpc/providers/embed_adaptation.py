"""Adapts a request for vectors to what a provider can do, as `adaptation` does a conversation."""

from operator import is_
from typing import Any

from msgspec.structs import replace

from llmproxy_grpc.messages import EmbedPurpose, EmbedRequest, MediaPart, Part
from llmproxy_grpc.providers.adaptation import meant_options
from llmproxy_grpc.providers.features import EmbedFeatures, Features, Place
from llmproxy_grpc.providers.media import media_objection, with_bytes
from llmproxy_grpc.providers.provider import Unsupported


def adapt_embed(request: EmbedRequest, features: Features) -> tuple[EmbedRequest, tuple[Unsupported, ...]]:
    """Gives a valid request without what these features lack, and the list of what that is.

    An input that cannot be embedded is named as essential, and stays: without it the vectors would not be the inputs'.
    """
    can = features.embed or EmbedFeatures()
    found: list[Unsupported] = []
    fields: dict[str, Any] = {}
    inputs = tuple([_input(part, index, can, found) for index, part in enumerate(request.inputs)])
    if not all(map(is_, inputs, request.inputs)):
        fields["inputs"] = inputs
    if request.dimensions is not None and not can.dimensions:
        fields["dimensions"] = None
        found.append(Unsupported("dimensions", "this provider's models have one length of vectors each"))
    if request.purpose is not EmbedPurpose.UNSPECIFIED and request.purpose not in can.purposes:
        fields["purpose"] = EmbedPurpose.UNSPECIFIED
        found.append(Unsupported("purpose", "this provider cannot be told so"))
    if request.provider_options and not can.any_options:
        fields["provider_options"], denied = meant_options(request.provider_options, features.names)
        found.extend(denied)
    return (replace(request, **fields) if fields else request), tuple(found)


def _input(part: Part, index: int, can: EmbedFeatures, found: list[Unsupported]) -> Part:
    if part.cache_hint is not None:
        found.append(Unsupported(f"inputs[{index}].cache_hint", "vectors are not made from a cache"))
        part = replace(part, cache_hint=None)
    if isinstance(part, MediaPart):
        part = with_bytes(part)
        objection = media_objection(part, can.media.get(part.kind), Place.PROMPT)
        if objection:
            found.append(Unsupported(f"inputs[{index}].{part.kind.name.lower()}", objection, essential=True))
    return part
