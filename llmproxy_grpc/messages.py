"""A conversation as the server sees it: frozen values, parsed once at the edge, free of protobuf and providers' JSON.

The values are msgspec structs rather than dataclasses: a frozen dataclass takes four to ten times as long to make, and
every call makes dozens. The numbers of the enumerations are those of the API, so that converting one is a look-up;
a test compares them.
"""

from collections.abc import Mapping
from enum import IntEnum
from typing import Any

from msgspec import Struct

JsonObject = Mapping[str, Any]


class Role(IntEnum):
    """Who speaks."""

    SYSTEM = 1
    DEVELOPER = 2
    USER = 3
    ASSISTANT = 4
    TOOL = 5


class MediaKind(IntEnum):
    """What a piece of media is; the numbers are those of Modality."""

    IMAGE = 2
    AUDIO = 3
    VIDEO = 4
    DOCUMENT = 5


class MediaDetail(IntEnum):
    """How closely the model looks at a picture."""

    UNSPECIFIED = 0
    LOW = 1
    HIGH = 2


class ToolMode(IntEnum):
    """Whether the model may, must or must not call tools."""

    UNSPECIFIED = 0
    AUTO = 1
    NONE = 2
    REQUIRED = 3


class ReasoningEffort(IntEnum):
    """How much the model thinks, in steps."""

    UNSPECIFIED = 0
    NONE = 1
    MINIMAL = 2
    LOW = 3
    MEDIUM = 4
    HIGH = 5
    XHIGH = 6
    MAX = 7


class Modality(IntEnum):
    """Kinds of content."""

    TEXT = 1
    IMAGE = 2
    AUDIO = 3
    VIDEO = 4
    DOCUMENT = 5


class FinishReason(IntEnum):
    """Why the model stopped."""

    UNSPECIFIED = 0
    STOP = 1
    STOP_SEQUENCE = 2
    MAX_TOKENS = 3
    CONTEXT_WINDOW = 4
    TOOL_CALLS = 5
    CONTENT_FILTER = 6
    REFUSAL = 7
    PAUSED = 8
    OTHER = 9


class UsageSource(IntEnum):
    """Where usage numbers come from."""

    UNSPECIFIED = 0
    PROVIDER = 1
    ESTIMATE = 2
    CACHE = 3


# What a conversation is made of.


class Citation(Struct, frozen=True):
    """A source that the model names; offsets are Unicode code points in the part's text."""

    uri: str = ""
    title: str = ""
    start_offset: int = 0
    end_offset: int = 0
    quoted_text: str = ""


class CacheHint(Struct, frozen=True):
    """Asks the provider to cache the prompt up to here; `ttl` in seconds, None for the provider's default."""

    ttl: float | None = None


class Part(Struct, frozen=True, kw_only=True):
    """What every piece of content may carry besides itself."""

    citations: tuple[Citation, ...] = ()
    continuity_token: bytes = b""
    cache_hint: CacheHint | None = None


class TextPart(Part, frozen=True):
    """Plain text."""

    text: str


class MediaPart(Part, frozen=True):
    """A picture, sound, video or document: exactly one of `data`, `uri` and `file_id` is set."""

    kind: MediaKind
    data: bytes | None = None
    uri: str | None = None
    file_id: str | None = None
    media_type: str = ""
    filename: str = ""
    detail: MediaDetail = MediaDetail.UNSPECIFIED


class ToolCallPart(Part, frozen=True):
    """A call that the model asks for; `arguments_json` is exactly the text that the model produced."""

    id: str
    name: str
    arguments_json: str


class ToolResultPart(Part, frozen=True):
    """The application's answer to a tool call."""

    tool_call_id: str
    name: str = ""
    content: tuple[Part, ...] = ()
    is_error: bool = False


class ReasoningPart(Part, frozen=True):
    """The model's thinking, as far as the provider shows it."""

    text: str = ""
    redacted: bool = False
    summary: bool = False


class RefusalPart(Part, frozen=True):
    """The model's refusal, in its own words."""

    text: str


class OpaquePart(Part, frozen=True):
    """A provider's block that the API does not model."""

    provider_kind: str
    type: str
    value: JsonObject


class Message(Struct, frozen=True):
    """One turn."""

    role: Role
    parts: tuple[Part, ...]
    name: str = ""


class FunctionTool(Struct, frozen=True):
    """A function that the application runs; `parameters_json_schema` is JSON text, empty for no arguments."""

    name: str
    description: str = ""
    parameters_json_schema: str = ""
    strict: bool | None = None


class ProviderTool(Struct, frozen=True):
    """A tool that the provider runs, such as web search."""

    provider_kind: str
    type: str
    config: JsonObject


class ToolChoice(Struct, frozen=True):
    """Which tools may be called: a mode, or one function by name."""

    mode: ToolMode = ToolMode.UNSPECIFIED
    function_name: str = ""
    parallel_tool_calls: bool | None = None


class ReasoningConfig(Struct, frozen=True):
    """How much the model thinks, and whether the answer shows it."""

    effort: ReasoningEffort = ReasoningEffort.UNSPECIFIED
    budget_tokens: int | None = None
    include: bool | None = None


class JsonObjectFormat(Struct, frozen=True):
    """Any JSON object."""


class JsonSchemaFormat(Struct, frozen=True):
    """JSON that follows a schema; `schema_json` is JSON text."""

    name: str
    schema_json: str
    strict: bool | None = None


class GenerationConfig(Struct, frozen=True):
    """Sampling and output settings; None means the provider's default, zero is a value."""

    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop_sequences: tuple[str, ...] = ()
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    candidate_count: int | None = None
    top_logprobs: int | None = None
    reasoning: ReasoningConfig | None = None
    response_format: JsonObjectFormat | JsonSchemaFormat | None = None
    logit_bias: Mapping[int, float] | None = None
    output_modalities: tuple[Modality, ...] = ()


class RoutingPolicy(Struct, frozen=True):
    """The caller's constraints on where a call may go; durations in seconds."""

    providers: tuple[str, ...] = ()
    fallback_models: tuple[str, ...] = ()
    max_attempts: int | None = None
    first_token_timeout: float | None = None
    idle_timeout: float | None = None
    drop_unsupported: bool = False


class ChatRequest(Struct, frozen=True):
    """A conversation to answer, valid by the rules of the API."""

    model: str
    messages: tuple[Message, ...]
    tools: tuple[FunctionTool | ProviderTool, ...] = ()
    tool_choice: ToolChoice | None = None
    generation: GenerationConfig = GenerationConfig()
    end_user_id: str = ""
    labels: Mapping[str, str] = {}
    routing: RoutingPolicy = RoutingPolicy()
    provider_options: Mapping[str, JsonObject] = {}
    conversation_id: str = ""


# What comes back.


class Cost(Struct, frozen=True):
    """Money, in billionths of the currency's unit."""

    currency_code: str
    amount_nanos: int


class ModalityTokens(Struct, frozen=True):
    """Tokens of one kind of content."""

    modality: Modality
    input_tokens: int = 0
    output_tokens: int = 0


class Usage(Struct, frozen=True):
    """Tokens and money; cached tokens are part of input, reasoning tokens part of output."""

    input_tokens: int = 0
    output_tokens: int = 0
    total_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_input_tokens: int = 0
    reasoning_tokens: int = 0
    modality_tokens: tuple[ModalityTokens, ...] = ()
    cost: Cost | None = None
    source: UsageSource = UsageSource.PROVIDER


class TokenLogprob(Struct, frozen=True):
    """Log probability of one position."""

    token: str
    logprob: float
    token_bytes: bytes = b""
    top: tuple["TokenLogprob", ...] = ()


class Candidate(Struct, frozen=True):
    """One answer."""

    index: int
    message: Message
    finish_reason: FinishReason
    raw_finish_reason: str = ""
    matched_stop_sequence: str = ""
    logprobs: tuple[TokenLogprob, ...] = ()


class Warning(Struct, frozen=True):  # noqa: A001 - the API's word; nobody raises it
    """Something was ignored or changed: an UPPER_SNAKE_CASE code, the field's path, and words."""

    code: str
    field: str
    message: str


class ProviderResponse(Struct, frozen=True):
    """What one provider answered to one attempt of a Chat."""

    candidates: tuple[Candidate, ...]
    usage: Usage | None = None
    upstream_request_id: str = ""
    provider_metadata: JsonObject = {}


# A stream's events, as providers produce them.


class Delta(Struct, frozen=True, kw_only=True):
    """More content; deltas of one candidate and part append to one part."""

    candidate_index: int = 0
    part_index: int = 0
    continuity_token: bytes = b""
    citations: tuple[Citation, ...] = ()
    logprobs: tuple[TokenLogprob, ...] = ()


class TextDelta(Delta, frozen=True):
    """More text; it may be empty when it only carries a token, citations or log probabilities."""

    text: str


class ReasoningDelta(Delta, frozen=True):
    """More thinking."""

    text: str
    redacted: bool = False
    summary: bool = False


class RefusalDelta(Delta, frozen=True):
    """More of a refusal."""

    text: str


class ToolCallDelta(Delta, frozen=True):
    """More of a tool call: `id` and `name` with the first fragment alone; fragments of the arguments concatenate."""

    id: str = ""
    name: str = ""
    arguments_json: str = ""


class PartDelta(Delta, frozen=True):
    """A whole part of a kind that does not come in pieces."""

    part: Part


class CandidateFinish(Struct, frozen=True):
    """A candidate is complete."""

    candidate_index: int
    finish_reason: FinishReason
    raw_finish_reason: str = ""
    matched_stop_sequence: str = ""


class UpstreamStart(Struct, frozen=True):
    """The provider has accepted the request and answers; first in every stream, and not yet output."""

    upstream_request_id: str = ""


class UpstreamEnd(Struct, frozen=True):
    """The provider's own end marker has come; last in every complete stream."""

    usage: Usage | None = None
    provider_metadata: JsonObject = {}


StreamEvent = Delta | CandidateFinish | UpstreamStart | UpstreamEnd
