"""Estimates of what a call used, for providers that do not say and for streams that broke.

Text counts by its size in UTF-8: by the common tokenizers a token has about four bytes of English, of Chinese (a
character and a third) and of most other languages. Around each message and tool stand a few tokens more. Media count
by kind and size, roughly, as nobody here looks into them.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from llmproxy_grpc.messages import (
    ChatRequest,
    Cost,
    EmbedRequest,
    FunctionTool,
    JsonSchemaFormat,
    MediaDetail,
    MediaKind,
    MediaPart,
    Modality,
    ModalityTokens,
    Part,
    ProviderTool,
    ToolResultPart,
    Usage,
    UsageSource,
)
from llmproxy_grpc.messages.sizes import size_of, text_size, tokens_in

FRAME: Final = 4
"""Tokens around each message and each tool: who speaks, where it begins and ends."""
IMAGE: Final = 800
SMALL_IMAGE: Final = 85
"""Tokens of a picture, and of one that is to be seen in low detail."""
UNSEEN: Final[Mapping[MediaKind, int]] = {MediaKind.AUDIO: 1000, MediaKind.VIDEO: 5000, MediaKind.DOCUMENT: 2000}
"""Tokens of other media that are somewhere else: half a minute of sound, of video, two pages."""
DENSITY: Final[Mapping[MediaKind, int]] = {MediaKind.AUDIO: 1000, MediaKind.VIDEO: 1000, MediaKind.DOCUMENT: 30}
"""Bytes of such media for one token: of MP3, MP4 and PDF."""


def estimate(request: ChatRequest, output_size: int) -> Usage:
    """Usage of a conversation by the size of its texts, labelled as an estimate."""
    return _usage(prompt_tokens(request), tokens_in(output_size))


def estimate_embed(request: EmbedRequest) -> Usage:
    """Usage of a request for vectors."""
    return _usage(tokens_in(size_of(request.inputs)) + _media_tokens(request.inputs), 0)


def prompt_tokens(request: ChatRequest) -> int:
    """Tokens of a whole prompt: the messages, and the tools and the schema that the model is told of."""
    size, tokens = 0, 0
    for message in request.messages:
        size += text_size(message.name) + size_of(message.parts)
        tokens += FRAME + _media_tokens(message.parts)
    for tool in request.tools:
        size += _tool_size(tool)
        tokens += FRAME
    wanted = request.generation.response_format
    if isinstance(wanted, JsonSchemaFormat):
        size += text_size(wanted.name) + text_size(wanted.schema_json)
    return tokens + tokens_in(size)


def sum_of(one: Usage | None, other: Usage) -> Usage:
    """What two requests used together, to one target or, where another goes on with a broken stream, to two.

    It is an estimate if either is one. Its cost is not known if one of theirs is not, or if they are in two currencies.
    """
    if one is None:
        return other
    return Usage(
        one.input_tokens + other.input_tokens,
        one.output_tokens + other.output_tokens,
        one.total_tokens + other.total_tokens,
        one.cached_input_tokens + other.cached_input_tokens,
        one.cache_write_input_tokens + other.cache_write_input_tokens,
        one.reasoning_tokens + other.reasoning_tokens,
        _by_modality((*one.modality_tokens, *other.modality_tokens)),
        _both(one.cost, other.cost),
        max(one.source, other.source),
        one.cache_write_1h_input_tokens + other.cache_write_1h_input_tokens,
        one.at_other_rates or other.at_other_rates,
    )


def _both(one: Cost | None, other: Cost | None) -> Cost | None:
    if one is None or other is None:
        return None
    if one.currency_code != other.currency_code and one.amount_nanos and other.amount_nanos:
        return None
    if not one.amount_nanos:
        return other  # in the currency of the one that costs something
    return Cost(one.currency_code, one.amount_nanos + other.amount_nanos)


def _usage(input_tokens: int, output_tokens: int) -> Usage:
    return Usage(input_tokens, output_tokens, input_tokens + output_tokens, source=UsageSource.ESTIMATE)


def _by_modality(counts: Iterable[ModalityTokens]) -> tuple[ModalityTokens, ...]:
    sums: dict[Modality, ModalityTokens] = {}
    for count in counts:
        so_far = sums.get(count.modality, ModalityTokens(count.modality))
        sums[count.modality] = ModalityTokens(
            count.modality, so_far.input_tokens + count.input_tokens, so_far.output_tokens + count.output_tokens
        )
    return tuple(sums.values())


def _tool_size(tool: FunctionTool | ProviderTool) -> int:
    if isinstance(tool, ProviderTool):
        return text_size(tool.type)
    return text_size(tool.name) + text_size(tool.description) + text_size(tool.parameters_json_schema)


def _media_tokens(parts: Iterable[Part]) -> int:
    total = 0
    for part in parts:
        if isinstance(part, MediaPart):
            total += _tokens_of_media(part)
        elif isinstance(part, ToolResultPart):
            total += _media_tokens(part.content)
    return total


def _tokens_of_media(media: MediaPart) -> int:
    if media.kind is MediaKind.IMAGE:
        return SMALL_IMAGE if media.detail is MediaDetail.LOW else IMAGE
    if media.data is None:
        return UNSEEN[media.kind]
    if media.media_type.startswith("text/"):
        return tokens_in(len(media.data))
    return -(-len(media.data) // DENSITY[media.kind])
