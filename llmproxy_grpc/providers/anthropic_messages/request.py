"""A conversation as the JSON body of POST /v1/messages."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from msgspec import Raw
from msgspec.json import Encoder

from llmproxy_grpc.messages import (
    ChatRequest,
    FunctionTool,
    GenerationConfig,
    JsonSchemaFormat,
    Message,
    ProviderTool,
    ToolCallPart,
    ToolChoice,
    ToolMode,
)
from llmproxy_grpc.providers.anthropic_messages.generations import Generation, generation_of
from llmproxy_grpc.providers.anthropic_messages.history import History
from llmproxy_grpc.providers.anthropic_messages.thinking import add_thinking, output_limit, thinks
from llmproxy_grpc.providers.options import add_options, counted_options, whole_numbers
from llmproxy_grpc.providers.tools import NO_PARAMETERS, parameters_of

_ENCODER = Encoder()
_NAMES: Final = ("anthropic",)
_MODES: Mapping[ToolMode, str] = {ToolMode.AUTO: "auto", ToolMode.NONE: "none", ToolMode.REQUIRED: "any"}
_COUNTED_OPTIONS: Final = frozenset({"mcp_servers", "output_config", "system", "thinking", "tool_choice", "tools"})
"""The options that a prompt to be counted may have as well."""


def encode_request(request: ChatRequest, model: str, *, stream: bool) -> bytes:
    """Encodes an adapted request; `model` is Anthropic's own name."""
    generation = generation_of(model)
    body = _prompt(request, model, generation)
    body["max_tokens"] = output_limit(request, generation)
    if stream:
        body["stream"] = True
    _add_settings(body, request.generation)
    if request.end_user_id:
        body["metadata"] = {"user_id": request.end_user_id}
    add_options(body, request.provider_options, _NAMES)
    return _ENCODER.encode(body)


def encode_count(request: ChatRequest, model: str) -> bytes:
    """Encodes a prompt that is to be counted, without the settings, which would be an error here."""
    body = _prompt(request, model, generation_of(model))
    add_options(body, counted_options(request.provider_options, _NAMES, _COUNTED_OPTIONS), _NAMES)
    return _ENCODER.encode(body)


def _prompt(request: ChatRequest, model: str, generation: Generation) -> dict[str, Any]:
    """What the model reads, and how it is told to read it."""
    history = History(thinks=thinks(request, generation), later_instructions=generation.later_instructions)
    history.add(request.messages)
    body: dict[str, Any] = {"model": model, "messages": history.turns}
    if history.system:
        body["system"] = history.system
    if request.tools:
        body["tools"] = [_tool(tool) for tool in request.tools]
        if request.tool_choice is not None:
            _add_choice(body, request.tool_choice)
    elif generation.claude:
        _add_tools_of_the_past(body, request.messages)
    if isinstance(request.generation.response_format, JsonSchemaFormat):
        schema = Raw(request.generation.response_format.schema_json.encode())
        body["output_config"] = {"format": {"type": "json_schema", "schema": schema}}
    add_thinking(body, request, generation)
    return body


def _tool(tool: FunctionTool | ProviderTool) -> dict[str, Any]:
    if isinstance(tool, ProviderTool):
        return {"type": tool.type, **whole_numbers(tool.config)}
    function: dict[str, Any] = {"name": tool.name, "input_schema": parameters_of(tool)}
    if tool.description:
        function["description"] = tool.description
    if tool.strict is not None:
        function["strict"] = tool.strict
    return function


def _add_choice(body: dict[str, Any], choice: ToolChoice) -> None:
    if choice.function_name:
        wanted: dict[str, Any] = {"type": "tool", "name": choice.function_name}
    else:
        wanted = {"type": _MODES.get(choice.mode, "auto")}
    if choice.parallel_tool_calls is not None and wanted["type"] != "none":
        wanted["disable_parallel_tool_use"] = not choice.parallel_tool_calls
    if len(wanted) > 1 or choice.mode is not ToolMode.UNSPECIFIED:
        body["tool_choice"] = wanted


def _add_tools_of_the_past(body: dict[str, Any], messages: tuple[Message, ...]) -> None:
    """Declares the tools that were called before, to be called no more: calls of undeclared ones are an error here."""
    names = dict.fromkeys(_called(messages))
    if names:
        body["tools"] = [{"name": name, "input_schema": NO_PARAMETERS} for name in names]
        body["tool_choice"] = {"type": "none"}


def _called(messages: tuple[Message, ...]) -> Iterator[str]:
    return (part.name for message in messages for part in message.parts if isinstance(part, ToolCallPart))


def _add_settings(body: dict[str, Any], config: GenerationConfig) -> None:
    for name in ("temperature", "top_p", "top_k"):
        value = getattr(config, name)
        if value is not None:
            body[name] = value
    if config.stop_sequences:
        body["stop_sequences"] = config.stop_sequences
