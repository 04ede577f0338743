"""What Ollama honours; its models differ, and say so only when they are asked."""

from typing import Final

from llmproxy_grpc.messages import MediaKind, ToolMode
from llmproxy_grpc.providers.features import EmbedFeatures, Features, MediaFeature, Source

NAMES: Final = ("ollama",)

FEATURES: Final = Features(
    names=NAMES,
    opaque=frozenset(),
    media={MediaKind.IMAGE: MediaFeature(prompts=Source.DATA)},
    tools=True,
    tool_modes=frozenset({ToolMode.AUTO, ToolMode.NONE}),
    settings=frozenset(
        {
            "max_output_tokens",
            "temperature",
            "top_p",
            "top_k",
            "seed",
            "presence_penalty",
            "frequency_penalty",
            "top_logprobs",
        }
    ),
    max_stop_sequences=1000,
    json_object=True,
    json_schema=True,
    reasoning_effort=True,
    reasoning_shown=True,
    embed=EmbedFeatures(dimensions=True),
)
