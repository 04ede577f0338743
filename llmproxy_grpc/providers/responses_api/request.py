"""A conversation as the JSON body of POST /responses."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec import Raw
from msgspec.json import Encoder

from llmproxy_grpc.messages import (
    ChatRequest,
    FunctionTool,
    GenerationConfig,
    JsonObjectFormat,
    JsonSchemaFormat,
    ProviderTool,
    ReasoningConfig,
    ReasoningEffort,
    ToolChoice,
    ToolMode,
)
from llmproxy_grpc.providers.chat_completions.quirks import Quirks
from llmproxy_grpc.providers.openai_models import thinks
from llmproxy_grpc.providers.options import add_options, counted_options, whole_numbers
from llmproxy_grpc.providers.responses_api.history import History
from llmproxy_grpc.providers.tools import forbids_calls, parameters_of

_ENCODER = Encoder()
_MODES: Mapping[ToolMode, str] = {ToolMode.AUTO: "auto", ToolMode.NONE: "none", ToolMode.REQUIRED: "required"}
_COUNTED: Final = ("model", "input", "tools", "tool_choice", "parallel_tool_calls", "text", "reasoning")
_COUNTED_OPTIONS: Final = frozenset({*_COUNTED, "instructions", "previous_response_id", "conversation", "truncation"})
"""The options that a prompt to be counted may have as well."""


class RequestEncoder:
    """Encodes requests for one vendor, adapted to its features.

    Args:
        quirks: What the vendor can do.
        names: Whose options are meant for it: the kind, then the vendor's own name, which wins.
        deployment: What the vendor calls every model, where it has but one; empty for their own names.
    """

    def __init__(self, quirks: Quirks, names: Sequence[str], *, deployment: str = "") -> None:
        self._quirks = quirks
        self._names = names
        self._deployment = deployment
        self._history = History(quirks)

    def encode(self, request: ChatRequest, model: str, *, stream: bool) -> bytes:
        """Encodes an adapted request; `model` is the vendor's own name."""
        body = self._prompt(request, model)
        # The proxy keeps no conversations, so nothing may depend on the vendor's keeping them.
        body["store"] = False
        if stream:
            body["stream"] = True
        if request.end_user_id and self._quirks.user_field:
            body[self._quirks.user_field] = request.end_user_id
        if request.provider_options:
            _add_options(body, request.provider_options, self._names)
        return _ENCODER.encode(body)

    def encode_count(self, request: ChatRequest, model: str) -> bytes:
        """Encodes a prompt that is to be counted; raises as `counted_options` does."""
        prompt = self._prompt(request, model)
        body: dict[str, Any] = {name: prompt[name] for name in _COUNTED if name in prompt}
        options = counted_options(request.provider_options, self._names, _COUNTED_OPTIONS, untaken=("prompt",))
        add_options(body, options, self._names)
        return _ENCODER.encode(body)

    def _prompt(self, request: ChatRequest, model: str) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self._deployment or model,
            "input": self._history.encode(request.messages),
        }
        if self._quirks.tool_choice or not forbids_calls(request.tool_choice):
            _add_tools(body, request)
        _add_generation(body, request.generation, hidden=self._hides_thinking(request.generation, model))
        return body

    def _hides_thinking(self, config: GenerationConfig, model: str) -> bool:
        """Whether a model thinks and does not show it: a deployment's name need not tell, but what is asked does."""
        if self._quirks.encrypted_reasoning or thinks(model):
            return True
        effort = ReasoningEffort.UNSPECIFIED if config.reasoning is None else config.reasoning.effort
        return self._quirks.openai_models and effort > ReasoningEffort.NONE


def _add_tools(body: dict[str, Any], request: ChatRequest) -> None:
    if request.tools:
        body["tools"] = [_tool(tool) for tool in request.tools]
    if request.tool_choice is not None:
        _add_choice(body, request.tool_choice)


def _tool(tool: FunctionTool | ProviderTool) -> dict[str, Any]:
    if isinstance(tool, ProviderTool):
        return {"type": tool.type, **whole_numbers(tool.config)}
    function: dict[str, Any] = {"type": "function", "name": tool.name, "parameters": parameters_of(tool)}
    if tool.description:
        function["description"] = tool.description
    # This API is strict unless told otherwise, and then refuses many schemas.
    function["strict"] = bool(tool.strict)
    return function


def _add_choice(body: dict[str, Any], choice: ToolChoice) -> None:
    if choice.function_name:
        body["tool_choice"] = {"type": "function", "name": choice.function_name}
    elif choice.mode is not ToolMode.UNSPECIFIED:
        body["tool_choice"] = _MODES[choice.mode]
    if choice.parallel_tool_calls is not None:
        body["parallel_tool_calls"] = choice.parallel_tool_calls


def _add_generation(body: dict[str, Any], config: GenerationConfig, *, hidden: bool) -> None:
    """Adds the set fields; where the thinking is hidden it comes encrypted, and a summary of it if asked for."""
    include = ["reasoning.encrypted_content"] if hidden else []
    for name in ("max_output_tokens", "temperature", "top_p"):
        value = getattr(config, name)
        if value is not None:
            body[name] = value
    if config.top_logprobs is not None:
        body["top_logprobs"] = config.top_logprobs
        include.append("message.output_text.logprobs")
    if config.response_format is not None:
        body["text"] = {"format": _format(config.response_format)}
    if config.reasoning is not None and (reasoning := _reasoning(config.reasoning, hidden=hidden)):
        body["reasoning"] = reasoning
    if include:
        body["include"] = include


def _format(wanted: JsonObjectFormat | JsonSchemaFormat) -> dict[str, Any]:
    if isinstance(wanted, JsonObjectFormat):
        return {"type": "json_object"}
    schema = Raw(wanted.schema_json.encode())
    # The wire demands a name, the API does not.
    return {"type": "json_schema", "name": wanted.name or "answer", "schema": schema, "strict": bool(wanted.strict)}


def _reasoning(reasoning: ReasoningConfig, *, hidden: bool) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if reasoning.effort is not ReasoningEffort.UNSPECIFIED:
        fields["effort"] = reasoning.effort.name.lower()
    if reasoning.include and hidden:
        fields["summary"] = "auto"
    return fields


def _add_options(body: dict[str, Any], options: Mapping[str, Any], names: Sequence[str]) -> None:
    """Merges the options, which add to what the request itself asks to be included."""
    ours = body.get("include", [])
    add_options(body, options, names)
    theirs = body.get("include")
    if isinstance(theirs, list):
        body["include"] = [*ours, *(item for item in theirs if item not in ours)]
