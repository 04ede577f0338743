"""What Cohere honours."""

import re
from typing import Final

from msgspec.structs import replace

from llmproxy_grpc.messages import EmbedPurpose, MediaKind, ToolMode
from llmproxy_grpc.providers.features import EmbedFeatures, Features, MediaFeature, Place, Source

NAMES: Final = ("cohere",)
PURPOSES: Final = {
    EmbedPurpose.DOCUMENT: "search_document",
    EmbedPurpose.QUERY: "search_query",
    EmbedPurpose.CLASSIFICATION: "classification",
    EmbedPurpose.CLUSTERING: "clustering",
}
_EMBEDDING = re.compile(r"embed")
_FEATURES = Features(
    names=NAMES,
    media={MediaKind.IMAGE: MediaFeature(prompts=Source.DATA | Source.URI, detail=frozenset({Place.PROMPT}))},
    tools=True,
    strict_tools=True,
    tool_modes=frozenset({ToolMode.AUTO, ToolMode.NONE, ToolMode.REQUIRED}),
    settings=frozenset(
        {
            "max_output_tokens",
            "temperature",
            "top_p",
            "top_k",
            "seed",
            "presence_penalty",
            "frequency_penalty",
        }
    ),
    max_stop_sequences=5,
    json_object=True,
    json_schema=True,
    reasoning_budget=True,
    reasoning_shown=True,
)
_EMBEDS = replace(
    _FEATURES,
    chat=False,
    embed=EmbedFeatures(dimensions=True, purposes=frozenset(PURPOSES), most_inputs=96),
)


def features_of(model: str) -> Features:
    """The features of a model."""
    return _EMBEDS if _EMBEDDING.search(model) else _FEATURES
