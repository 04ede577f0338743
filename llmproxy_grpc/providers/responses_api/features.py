"""What a vendor's flags make of the features of the Responses API."""

from collections.abc import Mapping

from llmproxy_grpc.messages import MediaKind, ToolMode
from llmproxy_grpc.providers.chat_completions.quirks import (
    CacheStyle,
    Quirks,
    ReasoningStyle,
    efforts_of,
    names_of,
    schemes_of,
)
from llmproxy_grpc.providers.features import Features, MediaFeature, Place, Source

_MODES = frozenset({ToolMode.AUTO, ToolMode.NONE, ToolMode.REQUIRED})
# Its blocks are items, which stand beside a result and not in it.
_ITEMS = frozenset({Place.PROMPT, Place.ANSWER})
_UNTOLD = frozenset({ToolMode.AUTO, ToolMode.NONE})


def features_of(quirks: Quirks, names: tuple[str, ...]) -> Features:
    """The features of a vendor.

    Args:
        quirks: Its flags.
        names: Whose options, tools and opaque parts are meant for it: the kind, then the vendor, which wins.
    """
    settings = {"max_output_tokens", "temperature", "top_p"}
    return Features(
        names=names,
        opaque=_ITEMS,
        media=_media(quirks),
        cache_hints=quirks.cache_hints is not CacheStyle.UNSUPPORTED,
        tools=quirks.tools,
        strict_tools=True,
        function_names=names_of(quirks),
        schema_names=names_of(quirks),
        tool_modes=_MODES if quirks.tool_choice else _UNTOLD,
        named_tool=quirks.tool_choice,
        parallel_tool_calls=quirks.parallel_tool_calls,
        settings=frozenset(settings | {"top_logprobs"} if quirks.logprobs else settings),
        json_object=quirks.json_object,
        json_schema=quirks.json_schema,
        reasoning_effort=quirks.reasoning is not ReasoningStyle.UNSUPPORTED,
        efforts=efforts_of(quirks),
        reasoning_shown=quirks.shows_reasoning,
        end_user=bool(quirks.user_field),
        count_tokens=bool(quirks.count_path),
    )


def _media(quirks: Quirks) -> Mapping[MediaKind, MediaFeature]:
    taken: dict[MediaKind, MediaFeature] = {}
    if quirks.images:
        taken[MediaKind.IMAGE] = _feature(quirks, by_uri=quirks.image_uri, detail=quirks.image_detail)
    if quirks.documents:
        taken[MediaKind.DOCUMENT] = _feature(quirks, by_uri=quirks.document_uri, detail=False)
    return taken


def _feature(quirks: Quirks, *, by_uri: bool, detail: bool) -> MediaFeature:
    sources = _sources(quirks, by_uri=by_uri)
    return MediaFeature(
        prompts=sources,
        results=sources if quirks.media_results else Source.NONE,
        schemes=schemes_of(quirks),
        detail=frozenset(Place) if detail else frozenset(),
    )


def _sources(quirks: Quirks, *, by_uri: bool) -> Source:
    sources = Source.DATA
    if by_uri:
        sources |= Source.URI
    return sources | Source.FILE_ID if quirks.file_ids else sources
