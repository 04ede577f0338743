"""What one vendor's Chat Completions, or its Responses API, can and cannot do, as flags."""

from enum import Enum
from typing import Annotated, Final

from msgspec import Meta, Struct
from msgspec.structs import replace

from llmproxy_grpc.messages import ReasoningEffort
from llmproxy_grpc.providers.call_ids import NINE, IdForm, at_most
from llmproxy_grpc.providers.function_names import ANY_NAME, PLAIN_NAME, NameForm


class ReasoningStyle(Enum):
    """How a vendor is told how much to think."""

    UNSUPPORTED = "unsupported"
    EFFORT = "effort"
    """`reasoning_effort`, a word."""
    THINKING = "thinking"
    """`reasoning_effort`, and `thinking: {type: disabled}` for none."""
    OBJECT = "object"
    """`reasoning: {effort, max_tokens, exclude}`."""


class Effort(Enum):
    """How much to think; the words of the wire."""

    MINIMAL = "minimal"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    XHIGH = "xhigh"
    MAX = "max"


class EmbeddingStyle(Enum):
    """How a vendor sends vectors."""

    UNSUPPORTED = "unsupported"
    FLOAT = "float"
    """As numbers in JSON; `encoding_format` is not sent."""
    BASE64 = "base64"
    """As their bytes, if asked by `encoding_format`: a third of the size, and read in a tenth of the time."""


class PurposeStyle(Enum):
    """How a vendor is told what vectors are for, in the field `input_type`."""

    UNSUPPORTED = "unsupported"
    PASSAGE = "passage"
    """`passage` or `query`; required."""
    SEARCH = "search"
    """`search_document` or `search_query`."""


class CacheStyle(Enum):
    """How a vendor is told what of a prompt to cache."""

    UNSUPPORTED = "unsupported"
    CONTROL = "control"
    """`cache_control`, Anthropic's."""
    BREAKPOINT = "breakpoint"
    """`prompt_cache_breakpoint`, OpenAI's."""


class MediaStyle(Enum):
    """How sound and documents are written; pictures and videos are the same everywhere."""

    OPENAI = "openai"
    """`input_audio` with `data` and `format`; `file` with `file_data` or `file_id`."""
    MISTRAL = "mistral"
    """`input_audio` as a text; `document_url`, or a part `file` with its `file_id`."""


class PrefillStyle(Enum):
    """How a vendor is told to go on with an answer that has begun, the last message."""

    UNSUPPORTED = "unsupported"
    LAST = "last"
    """It does so unasked."""
    PREFIX = "prefix"
    """`prefix` of the message."""
    PREFIX_ECHOED = "prefix_echoed"
    """The same, and the answer repeats it first."""
    CONTINUE = "continue"
    """`continue_final_message` of the request."""


class Quirks(Struct, frozen=True, kw_only=True):
    """Where a vendor departs from OpenAI; the defaults are OpenAI's own API.

    A flag that is False means that the field is left out of requests and that `unsupported` names it.
    """

    max_tokens_field: Annotated[str, Meta(min_length=1)] = "max_completion_tokens"
    """The name of the output limit; `max_tokens` is the old one, which most compatible servers know."""
    seed_field: str = "seed"
    """The name of the seed."""
    user_field: str = "user"
    """The name of the end user's id; empty if there is no place for one."""
    max_stop_sequences: Annotated[int, Meta(ge=0)] = 4
    """How many stop sequences a request may have."""
    developer_role: bool = True
    """Whether the role `developer` exists; otherwise such messages are sent as system."""
    message_name: bool = True
    """Whether a message may name its participant."""
    stream_options: bool = True
    """Whether usage of a stream is asked for by `stream_options`."""
    tools: bool = True
    plain_names: bool = False
    """Whether names of functions and schemas have 64 letters, digits, `_` and `-` at most; otherwise any is taken."""
    tool_choice: bool = True
    """Whether the caller may demand or forbid tool calls."""
    parallel_tool_calls: bool = True
    top_k: bool = False
    n: bool = True
    """Whether more than one candidate can be asked for."""
    counts_candidates: bool = True
    """Whether usage counts all candidates; otherwise that of more than one is estimated."""
    seed: bool = True
    negative_seeds: bool = True
    """Whether a seed may be less than 0."""
    penalties: bool = True
    logit_bias: bool = True
    logprobs: bool = True
    json_object: bool = True
    json_schema: bool = True
    images: bool = True
    image_uri: bool = True
    """Whether a picture may be given by its address."""
    any_uri: bool = False
    """Whether media may be at any address, such as one of a cloud's storage; else at those of the web alone."""
    image_detail: bool = True
    """Whether the model can be told how closely to look at a picture."""
    image_answers: bool = False
    """Whether answers may hold pictures, in `images`: they are asked for by `modalities`, and go back there."""
    audio: bool = True
    """Whether sound is taken, as `input_audio`."""
    documents: bool = True
    pdf_alone: bool = False
    """Whether documents are PDF alone."""
    document_uri: bool = False
    """Whether a document may be given by its address."""
    video: bool = False
    """Whether videos are taken, as `video_url`."""
    file_ids: bool = True
    """Whether uploaded files may be given by their ids."""
    media: MediaStyle = MediaStyle.OPENAI
    media_instructions: bool = True
    """Whether instructions may hold media; else they are texts alone."""
    media_results: bool = False
    """Whether results of tools may hold pictures and documents."""
    short_call_ids: bool = False
    """Whether ids of calls are nine letters and digits; others get a name of ours."""
    max_call_id: Annotated[int, Meta(ge=0)] = 0
    """How many characters ids of calls may have, 29 at least; longer ones get a name of ours; 0 for any number."""
    strict_results: bool = False
    """Whether each call has its result at once behind it: results move there, and calls without one are named."""
    strict_roles: bool = False
    """Whether each role is taken in its place alone: conversations are rearranged."""
    refusals: bool = True
    """Whether refusals have a field of their own in the history; otherwise they are sent as text."""
    cache_hints: CacheStyle = CacheStyle.UNSUPPORTED
    reasoning: ReasoningStyle = ReasoningStyle.EFFORT
    effort_none: bool = True
    """Whether it can be told not to think."""
    lowest_effort: Effort = Effort.MINIMAL
    highest_effort: Effort = Effort.MAX
    shows_reasoning: bool = True
    """Whether answers can show the thinking."""
    reasoning_replay: str = ""
    """The field of an assistant message that takes its earlier thinking back, `content` for pieces of the content of
    the same provider; empty for none."""
    embeddings: EmbeddingStyle = EmbeddingStyle.BASE64
    dimensions_field: str = "dimensions"
    """The name of the length of vectors; empty if it cannot be chosen."""
    embed_purpose: PurposeStyle = PurposeStyle.UNSUPPORTED
    max_embed_inputs: Annotated[int, Meta(ge=0)] = 2048
    """How many inputs a request for vectors may have; 0 for any number."""
    max_embed_bytes: Annotated[int, Meta(ge=0)] = 0
    """How much text a request for vectors may have; 0 for any size."""
    count_path: str = ""
    """Where the tokens of a prompt are counted, below the address; empty for nowhere."""
    tells_limit: bool = True
    """Whether an answer that the output limit cut says so; otherwise its length tells."""
    prefill: PrefillStyle = PrefillStyle.UNSUPPORTED
    encrypted_reasoning: bool = False
    """Whether any model may be asked for its encrypted thinking; those of OpenAI are by their names."""
    openai_models: bool = False
    """Whether its models are OpenAI's, with what those refuse by their names."""


_WEB: Final = frozenset({"http", "https"})

OPENAI = Quirks(
    plain_names=True,
    media_instructions=False,
    pdf_alone=True,
    cache_hints=CacheStyle.BREAKPOINT,
    shows_reasoning=False,
    max_call_id=40,
    strict_results=True,
    openai_models=True,
    # It takes 300,000 tokens at once, and hardly any text has less than 2.7 bytes a token.
    max_embed_bytes=800_000,
)

OPENAI_RESPONSES = replace(
    OPENAI,
    pdf_alone=False,
    document_uri=True,
    media_results=True,
    max_call_id=64,
    shows_reasoning=True,
    count_path="/responses/input_tokens",
)
"""The same by the Responses API."""

COMPATIBLE = Quirks(
    max_tokens_field="max_tokens",
    developer_role=False,
    refusals=False,
    embeddings=EmbeddingStyle.FLOAT,
    max_embed_inputs=32,
)
"""What to expect of a compatible server that nobody has described."""

UNDESCRIBED = replace(COMPATIBLE, any_uri=True)
"""The same where it may be a gateway, which knows addresses that other servers do not."""

COMPATIBLE_RESPONSES = replace(UNDESCRIBED, document_uri=True)
"""The same by the Responses API."""


def schemes_of(quirks: Quirks) -> frozenset[str]:
    """The schemes of addresses that a vendor takes media from; empty for any."""
    return frozenset() if quirks.any_uri else _WEB


def names_of(quirks: Quirks) -> NameForm:
    """The names of functions and schemas that a vendor takes."""
    return PLAIN_NAME if quirks.plain_names else ANY_NAME


def ids_of(quirks: Quirks) -> IdForm | None:
    """The ids of calls that a vendor takes; None for any."""
    if quirks.short_call_ids:
        return NINE
    return at_most(quirks.max_call_id) if quirks.max_call_id else None


def efforts_of(quirks: Quirks) -> frozenset[ReasoningEffort]:
    """The efforts that a vendor knows."""
    lowest, highest = ReasoningEffort[quirks.lowest_effort.name], ReasoningEffort[quirks.highest_effort.name]
    known = {effort for effort in ReasoningEffort if lowest <= effort <= highest}
    if quirks.effort_none:
        known.add(ReasoningEffort.NONE)
    return frozenset({*known, ReasoningEffort.UNSPECIFIED})
