"""A conversation as the JSON body of POST /v1/messages."""

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Raw
from msgspec.json import Encoder

from llmproxy_grpc.messages import (
    ChatRequest,
    FunctionTool,
    GenerationConfig,
    JsonSchemaFormat,
    ProviderTool,
    ReasoningConfig,
    ReasoningEffort,
    ToolChoice,
    ToolMode,
)
from llmproxy_grpc.providers.anthropic_messages.features import SMALLEST_BUDGET, wants_budget
from llmproxy_grpc.providers.anthropic_messages.history import encode_messages, encode_system
from llmproxy_grpc.providers.anthropic_messages.models import Generation, Thinking, generation_of
from llmproxy_grpc.providers.options import add_options, whole_numbers

_ENCODER = Encoder()
_NO_PARAMETERS = {"type": "object", "properties": {}}
_MODES: Mapping[ToolMode, str] = {ToolMode.AUTO: "auto", ToolMode.NONE: "none", ToolMode.REQUIRED: "any"}

# Budgets for models that are told a number of tokens, and the API's words for those that are told an effort.
BUDGETS: Final[Mapping[ReasoningEffort, int]] = {
    ReasoningEffort.MINIMAL: SMALLEST_BUDGET,
    ReasoningEffort.LOW: 2048,
    ReasoningEffort.MEDIUM: 8192,
    ReasoningEffort.HIGH: 16_384,
    ReasoningEffort.XHIGH: 24_576,
    ReasoningEffort.MAX: 31_999,
}
EFFORTS: Final[Mapping[ReasoningEffort, str]] = {
    ReasoningEffort.MINIMAL: "low",
    ReasoningEffort.LOW: "low",
    ReasoningEffort.MEDIUM: "medium",
    ReasoningEffort.HIGH: "high",
    ReasoningEffort.XHIGH: "xhigh",
    ReasoningEffort.MAX: "max",
}


def encode_request(request: ChatRequest, model: str, *, stream: bool) -> bytes:
    """Encodes an adapted request; `model` is Anthropic's own name."""
    generation = generation_of(model)
    body = _prompt(request, model)
    body["max_tokens"] = request.generation.max_output_tokens or generation.most_output
    if stream:
        body["stream"] = True
    _add_generation(body, request.generation, generation)
    if request.end_user_id:
        body["metadata"] = {"user_id": request.end_user_id}
    add_options(body, request.provider_options, ("anthropic",))
    return _ENCODER.encode(body)


def encode_count(request: ChatRequest, model: str) -> bytes:
    """Encodes a prompt that is to be counted."""
    body = _prompt(request, model)
    _add_thinking(body, request.generation, generation_of(model))
    return _ENCODER.encode(body)


def _prompt(request: ChatRequest, model: str) -> dict[str, Any]:
    body: dict[str, Any] = {"model": model, "messages": encode_messages(request.messages)}
    system = encode_system(request.messages)
    if system:
        body["system"] = system
    if request.tools:
        body["tools"] = [_tool(tool) for tool in request.tools]
    if request.tool_choice is not None:
        _add_choice(body, request.tool_choice)
    return body


def _tool(tool: FunctionTool | ProviderTool) -> dict[str, Any]:
    if isinstance(tool, ProviderTool):
        return {"type": tool.type, **whole_numbers(tool.config)}
    # The schema is JSON already: the model gets it to the byte.
    schema = Raw(tool.parameters_json_schema.encode()) if tool.parameters_json_schema else _NO_PARAMETERS
    function: dict[str, Any] = {"name": tool.name, "input_schema": schema}
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


def _add_generation(body: dict[str, Any], config: GenerationConfig, generation: Generation) -> None:
    for name in ("temperature", "top_p", "top_k"):
        value = getattr(config, name)
        if value is not None:
            body[name] = value
    if config.stop_sequences:
        body["stop_sequences"] = config.stop_sequences
    if isinstance(config.response_format, JsonSchemaFormat):
        schema = Raw(config.response_format.schema_json.encode())
        body["output_config"] = {"format": {"type": "json_schema", "schema": schema}}
    _add_thinking(body, config, generation)


def _add_thinking(body: dict[str, Any], config: GenerationConfig, generation: Generation) -> None:
    reasoning = config.reasoning
    if reasoning is None:
        return
    if wants_budget(reasoning, generation):
        body["thinking"] = {"type": "enabled", "budget_tokens": _budget(reasoning, config, generation)}
    elif reasoning.effort not in {ReasoningEffort.UNSPECIFIED, ReasoningEffort.NONE}:
        body["thinking"] = _adaptive(reasoning, generation)
        effort = _effort(reasoning.effort, generation)
        body["output_config"] = {**body.get("output_config", {}), "effort": effort}


def _budget(reasoning: ReasoningConfig, config: GenerationConfig, generation: Generation) -> int:
    """The budget, which has to leave room for the answer."""
    if reasoning.budget_tokens is not None:
        return reasoning.budget_tokens
    limit = config.max_output_tokens or generation.most_output
    return max(SMALLEST_BUDGET, min(BUDGETS[reasoning.effort], limit // 2))


def _adaptive(reasoning: ReasoningConfig, generation: Generation) -> dict[str, Any]:
    thinking = {"type": "adaptive"}
    # The newest models leave the text out unless it is asked for.
    if generation.thinking is Thinking.ADAPTIVE and reasoning.include is not False:
        thinking["display"] = "summarized"
    return thinking


def _effort(effort: ReasoningEffort, generation: Generation) -> str:
    # The step between came with the generation that thinks adaptively alone.
    if effort is ReasoningEffort.XHIGH and generation.thinking is not Thinking.ADAPTIVE:
        return EFFORTS[ReasoningEffort.HIGH]
    return EFFORTS[effort]
