"""What the Responses API honours."""

import re
from collections.abc import Mapping
from typing import Final

from llmproxy_grpc.messages import MediaKind, ToolMode
from llmproxy_grpc.providers.features import Features, MediaFeature, Source

_ANYWHERE = Source.DATA | Source.URI | Source.FILE_ID
AUDIO_FORMATS: Final[Mapping[str, str]] = {
    "audio/wav": "wav",
    "audio/x-wav": "wav",
    "audio/mpeg": "mp3",
    "audio/mp3": "mp3",
}
_MEDIA = {
    MediaKind.IMAGE: MediaFeature(prompts=_ANYWHERE, results=_ANYWHERE),
    MediaKind.DOCUMENT: MediaFeature(prompts=_ANYWHERE, results=_ANYWHERE),
    MediaKind.AUDIO: MediaFeature(prompts=Source.DATA, types=frozenset(AUDIO_FORMATS)),
}
_THINKS = re.compile(r"^(?:o\d|gpt-(?:[5-9]|\d\d)|codex)(?!.*-chat)")


def features_of(names: tuple[str, ...]) -> Features:
    """The features of a vendor; `names` are the keys of `provider_options` that are meant for it."""
    return Features(
        names=names,
        media=_MEDIA,
        tools=True,
        strict_tools=True,
        tool_modes=frozenset({ToolMode.AUTO, ToolMode.NONE, ToolMode.REQUIRED}),
        named_tool=True,
        parallel_tool_calls=True,
        settings=frozenset({"max_output_tokens", "temperature", "top_p", "top_logprobs"}),
        json_object=True,
        json_schema=True,
        reasoning_effort=True,
        reasoning_shown=True,
        count_tokens=True,
    )


def thinks(model: str) -> bool:
    """Whether a model thinks, by its name: only then may its encrypted thinking be asked for."""
    return _THINKS.match(model) is not None
