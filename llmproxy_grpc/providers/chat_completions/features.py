"""What a vendor's flags make of the features of Chat Completions."""

from msgspec.structs import replace

from llmproxy_grpc.messages import MediaKind, Modality, ToolMode
from llmproxy_grpc.providers.chat_completions.embeddings import embed_features
from llmproxy_grpc.providers.chat_completions.media import AUDIO_FORMATS
from llmproxy_grpc.providers.chat_completions.quirks import (
    CacheStyle,
    PrefillStyle,
    Quirks,
    ReasoningStyle,
    efforts_of,
    names_of,
    schemes_of,
)
from llmproxy_grpc.providers.features import ANY_SEED, NATURAL_SEED, Features, MediaFeature, Place, Source
from llmproxy_grpc.providers.schema_forms import ANY_SCHEMA, FLAT_SCHEMA

_AUDIO = MediaFeature(prompts=Source.DATA, types=frozenset(AUDIO_FORMATS))
_PDF = frozenset({"application/pdf"})
_MODES = frozenset({ToolMode.AUTO, ToolMode.NONE, ToolMode.REQUIRED})
_UNTOLD = frozenset({ToolMode.AUTO, ToolMode.NONE})
_ANYWHERE = Source.DATA | Source.URI


def features_of(quirks: Quirks, names: tuple[str, ...]) -> Features:
    """The features of a vendor.

    Args:
        quirks: Its flags.
        names: Whose options, tools and opaque parts are meant for it: the kind, then the vendor, which wins.
    """
    return Features(
        names=names,
        media=_media(quirks),
        message_name=quirks.message_name,
        cache_hints=quirks.cache_hints is not CacheStyle.UNSUPPORTED,
        tools=quirks.tools,
        strict_tools=True,
        function_names=names_of(quirks),
        function_schemas=FLAT_SCHEMA if quirks.openai_models else ANY_SCHEMA,
        schema_names=names_of(quirks),
        tool_modes=_MODES if quirks.tool_choice else _UNTOLD,
        named_tool=quirks.tool_choice,
        parallel_tool_calls=quirks.parallel_tool_calls,
        settings=_settings(quirks),
        seeds=ANY_SEED if quirks.negative_seeds else NATURAL_SEED,
        max_stop_sequences=quirks.max_stop_sequences,
        many_candidates=quirks.n,
        json_object=quirks.json_object,
        json_schema=quirks.json_schema,
        reasoning_effort=quirks.reasoning is not ReasoningStyle.UNSUPPORTED,
        efforts=efforts_of(quirks),
        reasoning_budget=quirks.reasoning is ReasoningStyle.OBJECT,
        effort_or_budget=quirks.reasoning is ReasoningStyle.OBJECT,
        reasoning_shown=quirks.shows_reasoning,
        output_modalities=frozenset({Modality.TEXT, Modality.IMAGE} if quirks.image_answers else {Modality.TEXT}),
        end_user=bool(quirks.user_field),
        embed=embed_features(quirks),
        prefill=quirks.prefill is not PrefillStyle.UNSUPPORTED,
        prefill_echoed=quirks.prefill is PrefillStyle.PREFIX_ECHOED,
        count_tokens=bool(quirks.count_path),
    )


def _settings(quirks: Quirks) -> frozenset[str]:
    flags = {
        "max_output_tokens": True,
        "temperature": True,
        "top_p": True,
        "top_k": quirks.top_k,
        "seed": quirks.seed,
        "presence_penalty": quirks.penalties,
        "frequency_penalty": quirks.penalties,
        "top_logprobs": quirks.logprobs,
        "logit_bias": quirks.logit_bias,
    }
    return frozenset(name for name, known in flags.items() if known)


def _media(quirks: Quirks) -> dict[MediaKind, MediaFeature]:
    taken: dict[MediaKind, MediaFeature] = {}
    if quirks.images:
        picture = _feature(quirks, Source.URI if quirks.image_uri else Source.NONE)
        if quirks.image_answers:
            picture = replace(picture, answers=picture.prompts)
        taken[MediaKind.IMAGE] = replace(picture, detail=frozenset(Place)) if quirks.image_detail else picture
    if quirks.audio:
        taken[MediaKind.AUDIO] = _AUDIO
    if quirks.documents:
        by_uri = Source.URI if quirks.document_uri else Source.NONE
        document = _feature(quirks, by_uri | (Source.FILE_ID if quirks.file_ids else Source.NONE))
        taken[MediaKind.DOCUMENT] = replace(document, types=_PDF) if quirks.pdf_alone else document
    if quirks.video:
        taken[MediaKind.VIDEO] = MediaFeature(prompts=_ANYWHERE, schemes=schemes_of(quirks))
    return taken


def _feature(quirks: Quirks, besides: Source) -> MediaFeature:
    sources = Source.DATA | besides
    results = sources if quirks.media_results else Source.NONE
    return MediaFeature(prompts=sources, results=results, schemes=schemes_of(quirks))
