"""What another proxy can do: everything, as far as is known here; it refuses by name what its own targets cannot."""

from typing import Final

from llmproxy_grpc.messages import EmbedPurpose, MediaKind, Modality, ToolMode
from llmproxy_grpc.providers.features import PLAIN_SETTINGS, EmbedFeatures, Features, MediaFeature, Place, Source

_ANYWHERE: Final = Source.DATA | Source.URI | Source.FILE_ID
_MEDIA: Final = {
    kind: MediaFeature(prompts=_ANYWHERE, results=_ANYWHERE, detail=frozenset(Place)) for kind in MediaKind
}

FEATURES: Final = Features(
    names=("grpc",),
    media=_MEDIA,
    message_name=True,
    cache_hints=True,
    tools=True,
    strict_tools=True,
    tool_modes=frozenset(ToolMode) - {ToolMode.UNSPECIFIED},
    named_tool=True,
    parallel_tool_calls=True,
    result_errors=True,
    end_user=True,
    settings=frozenset(PLAIN_SETTINGS),
    max_stop_sequences=1000,
    many_candidates=True,
    json_object=True,
    json_schema=True,
    reasoning_effort=True,
    reasoning_budget=True,
    reasoning_shown=True,
    output_modalities=frozenset(Modality),
    embed=EmbedFeatures(
        media=_MEDIA, dimensions=True, purposes=frozenset(EmbedPurpose), most_inputs=0, any_options=True
    ),
    count_tokens=True,
)
