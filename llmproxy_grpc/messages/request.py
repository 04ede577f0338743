"""What a caller asks for: a conversation to answer, and how."""

from collections.abc import Mapping

from msgspec import Struct

from llmproxy_grpc.messages.content import JsonObject, Message
from llmproxy_grpc.messages.enumerations import Modality, ReasoningEffort, ToolMode


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
    data: int = 0
    """What may be kept of the call, by the API's number for it: for another proxy, which keeps records of its own."""
    begun: bool = False
    """Whether the last message, the assistant's, is the beginning of the answer: for models that go on with it."""

    @property
    def shows_thinking(self) -> bool:
        """Whether the caller wants to see what thinking the provider shows."""
        reasoning = self.generation.reasoning
        return reasoning is None or reasoning.include is not False
