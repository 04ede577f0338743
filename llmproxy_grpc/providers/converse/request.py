"""A conversation as the JSON body of Converse and ConverseStream."""

from functools import partial
from typing import Any, Final

from msgspec.json import Encoder

from llmproxy_grpc.messages import (
    ChatRequest,
    FunctionTool,
    GenerationConfig,
    JsonSchemaFormat,
    ProviderTool,
    ToolChoice,
    ToolMode,
)
from llmproxy_grpc.providers.anthropic_messages.generations import generation_of
from llmproxy_grpc.providers.anthropic_messages.thinking import add_thinking, thinks, told_to_think
from llmproxy_grpc.providers.converse.history import History, called_tools
from llmproxy_grpc.providers.converse.makers import NAMES, maker_of
from llmproxy_grpc.providers.options import add_options, counted_options, whole_numbers
from llmproxy_grpc.providers.tools import forbids_calls, parameters_of

_ENCODER = Encoder()
_MORE: Final = "additionalModelRequestFields"
_COUNTED: Final = frozenset({"system", "toolConfig", _MORE})
"""The options that a prompt to be counted may have as well."""
_PATHS: Final = "additionalModelResponseFieldPaths"
_INFERENCE: Final = (("max_output_tokens", "maxTokens"), ("temperature", "temperature"), ("top_p", "topP"))


def encode_request(request: ChatRequest, model: str) -> bytes:
    """Encodes an adapted request; whether it streams is said by where it is sent."""
    body = _prompt(request, model)
    _add_settings(body, request.generation)
    more = _of_the_model(request, model)
    if more:
        body[_MORE] = more
    if request.provider_options:
        add_options(body, request.provider_options, NAMES)
    if maker_of(model).claude:
        _ask_back(body, request.generation)
    return _ENCODER.encode(body)


def encode_count(request: ChatRequest, model: str) -> bytes:
    """Encodes a prompt that is to be counted; raises as `counted_options` does."""
    body = _prompt(request, model)
    options = counted_options(request.provider_options, NAMES, _COUNTED, untaken=("promptVariables",))
    if any(_MORE in own for own in options.values()):
        body[_MORE] = _of_the_model(request, model)
    add_options(body, options, NAMES)
    return _ENCODER.encode({"input": {"converse": body}})


def _prompt(request: ChatRequest, model: str) -> dict[str, Any]:
    status = maker_of(model).result_status
    history = History(request.messages, thinks=partial(_thinks, request, model), result_status=status)
    body: dict[str, Any] = {"messages": history.turns()}
    system = history.system()
    if system:
        body["system"] = system
    tools = _tools(request)
    if tools:
        body["toolConfig"] = {"tools": tools}
        if request.tool_choice is not None:
            _add_choice(body["toolConfig"], request.tool_choice)
    return body


def _thinks(request: ChatRequest, model: str) -> bool:
    if not maker_of(model).claude:
        return True
    told = told_to_think(request.provider_options.get(NAMES[0], {}).get(_MORE))
    return thinks(request, generation_of(model)) if told is None else told


def _tools(request: ChatRequest) -> list[dict[str, Any]]:
    if forbids_calls(request.tool_choice):
        return []
    if request.tools:
        return [_tool(tool) for tool in request.tools]
    # A conversation with calls is refused without tools; those that were called stand for themselves.
    return [_spec(FunctionTool(name)) for name in called_tools(request.messages)]


def _tool(tool: FunctionTool | ProviderTool) -> dict[str, Any]:
    return {tool.type: whole_numbers(tool.config)} if isinstance(tool, ProviderTool) else _spec(tool)


def _spec(tool: FunctionTool) -> dict[str, Any]:
    spec: dict[str, Any] = {"name": tool.name, "inputSchema": {"json": parameters_of(tool)}}
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


def _add_settings(body: dict[str, Any], config: GenerationConfig) -> None:
    inference = {theirs: value for ours, theirs in _INFERENCE if (value := getattr(config, ours)) is not None}
    if config.stop_sequences:
        inference["stopSequences"] = config.stop_sequences
    if inference:
        body["inferenceConfig"] = inference
    if isinstance(config.response_format, JsonSchemaFormat):
        # Here, and here alone, the schema is text within the JSON.
        schema = {"schema": config.response_format.schema_json, "name": config.response_format.name or "answer"}
        body["outputConfig"] = {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": schema}}}


def _of_the_model(request: ChatRequest, model: str) -> dict[str, Any]:
    """The fields that Converse hands on to the model as they are."""
    maker, config = maker_of(model), request.generation
    more: dict[str, Any] = {}
    if config.top_k is not None and maker.top_k is not None:
        more |= maker.top_k(config.top_k)
    if maker.claude:
        add_thinking(more, request, generation_of(model))
    elif config.reasoning is not None and maker.effort is not None and config.reasoning.effort in maker.efforts:
        more |= maker.effort(maker.efforts[config.reasoning.effort])
    choice = request.tool_choice
    if choice is not None and choice.parallel_tool_calls is not None:
        more["tool_choice"] = _parallel(choice)
    return more


def _parallel(choice: ToolChoice) -> dict[str, Any]:
    """Claude's own word for it; the type of a choice may be said once, here or in `toolConfig`."""
    told: dict[str, Any] = {"disable_parallel_tool_use": not choice.parallel_tool_calls}
    said = choice.function_name or choice.mode is not ToolMode.UNSPECIFIED
    return told if said else {"type": "auto", **told}


def _ask_back(body: dict[str, Any], config: GenerationConfig) -> None:
    """Asks for what Claude tells and Converse does not: which stop sequence it was, and how much was thinking."""
    wanted = [
        path for path, asked in (("/stop_sequence", config.stop_sequences), ("/usage", config.reasoning)) if asked
    ]
    told = body.get(_PATHS, [])
    if wanted and isinstance(told, list):
        body[_PATHS] = [*told, *(path for path in wanted if path not in told)]
