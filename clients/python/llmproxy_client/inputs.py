"""Requests for the vectors of texts, as both clients and llmproxyctl make them."""

from collections.abc import Iterable

from llmproxy_client.v1.content_pb2 import ContentPart
from llmproxy_client.v1.embed_pb2 import EMBED_PURPOSE_UNSPECIFIED, EmbedPurpose, EmbedRequest


def inputs(
    model: str,
    texts: Iterable[str],
    *,
    purpose: "EmbedPurpose.ValueType" = EMBED_PURPOSE_UNSPECIFIED,
    dimensions: int | None = None,
) -> EmbedRequest:
    """A request for one vector for each text, none of which may be empty.

    Args:
        model: The model to ask.
        texts: The texts.
        purpose: What the vectors are for, such as EMBED_PURPOSE_QUERY.
        dimensions: The vectors' length, for models that can shorten them.
    """
    parts = [ContentPart(text=text) for text in texts]
    return EmbedRequest(model=model, inputs=parts, purpose=purpose, dimensions=dimensions)
