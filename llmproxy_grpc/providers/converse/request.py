"""A conversation as the JSON body of Converse and ConverseStream."""

from typing import Any, Final

from msgspec import Raw
from msgspec.json import Encoder

from llmproxy_grpc.messages import (
    ChatRequest,
    FunctionTool,
    GenerationConfig,
    JsonSchemaFormat,
    ProviderTool,
    ReasoningEffort,
    ToolChoice,
    ToolMode,
)
from llmproxy_grpc.providers.converse.features import NAMES, is_claude
from llmproxy_grpc.providers.converse.history import called_tools, encode_messages, encode_system
from llmproxy_grpc.providers.options import add_options, whole_numbers

_ENCODER = Encoder()
_NO_PARAMETERS: Final = {"type": "object", "properties": {}}
_INFERENCE: Final = (("max_output_tokens", "maxTokens"), ("temperature", "temperature"), ("top_p", "topP"))


def encode_request(request: ChatRequest, model: str) -> bytes:
    """Encodes an adapted request; whether it streams is said by where it is sent."""
    body = _prompt(request)
    _add_generation(body, request.generation, model)
    add_options(body, request.provider_options, NAMES)
    return _ENCODER.encode(body)


def encode_count(request: ChatRequest) -> bytes:
    """Encodes a prompt that is to be counted."""
    return _ENCODER.encode({"input": {"converse": _prompt(request)}})


def _prompt(request: ChatRequest) -> dict[str, Any]:
    body: dict[str, Any] = {"messages": encode_messages(request.messages)}
    system = encode_system(request.messages)
    if system:
        body["system"] = system
    tools = [_tool(tool) for tool in request.tools]
    if not tools:
        # A conversation with calls is refused without tools; those that were called stand for themselves.
        tools = [_spec(FunctionTool(name)) for name in called_tools(request.messages)]
    if tools:
        body["toolConfig"] = {"tools": tools}
        if request.tool_choice is not None:
            _add_choice(body["toolConfig"], request.tool_choice)
    return body


def _tool(tool: FunctionTool | ProviderTool) -> dict[str, Any]:
    return {tool.type: whole_numbers(tool.config)} if isinstance(tool, ProviderTool) else _spec(tool)


def _spec(tool: FunctionTool) -> dict[str, Any]:
    # The schema is JSON already: the model gets it to the byte.
    schema = Raw(tool.parameters_json_schema.encode()) if tool.parameters_json_schema else _NO_PARAMETERS
    spec: dict[str, Any] = {"name": tool.name, "inputSchema": {"json": schema}}
    if tool.description:
        spec["description"] = tool.description
    if tool.strict is not None:
        spec["strict"] = tool.strict
    return {"toolSpec": spec}


def _add_choice(config: dict[str, Any], choice: ToolChoice) -> None:
    if choice.function_name:
        config["toolChoice"] = {"tool": {"name": choice.function_name}}
    elif choice.mode is not ToolMode.UNSPECIFIED:
        config["toolChoice"] = {"any" if choice.mode is ToolMode.REQUIRED else "auto": {}}


def _add_generation(body: dict[str, Any], config: GenerationConfig, model: str) -> None:
    inference = {theirs: value for ours, theirs in _INFERENCE if (value := getattr(config, ours)) is not None}
    if config.stop_sequences:
        inference["stopSequences"] = config.stop_sequences
    if inference:
        body["inferenceConfig"] = inference
    more = _of_the_model(config, model)
    if more:
        body["additionalModelRequestFields"] = more
    if isinstance(config.response_format, JsonSchemaFormat):
        # Here, and here alone, the schema is text within the JSON.
        schema = {"schema": config.response_format.schema_json, "name": config.response_format.name or "answer"}
        body["outputConfig"] = {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": schema}}}


def _of_the_model(config: GenerationConfig, model: str) -> dict[str, Any]:
    """The fields that Converse hands on to the model as they are."""
    more: dict[str, Any] = {}
    if config.top_k is not None:
        more["top_k"] = config.top_k
    reasoning = config.reasoning
    if reasoning is None:
        return more
    if reasoning.budget_tokens is not None and is_claude(model):
        more["thinking"] = {"type": "enabled", "budget_tokens": reasoning.budget_tokens}
    elif reasoning.effort is not ReasoningEffort.UNSPECIFIED:
        more["reasoning_effort"] = reasoning.effort.name.lower()
    return more
