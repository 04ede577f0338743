"""A conversation's request, from protobuf."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from llmproxy_grpc._gen.v1 import chat_pb2 as pb
from llmproxy_grpc._gen.v1 import content_pb2, generation_pb2
from llmproxy_grpc.messages import (
    ChatRequest,
    FunctionTool,
    GenerationConfig,
    JsonObjectFormat,
    JsonSchemaFormat,
    Modality,
    ProviderTool,
    ReasoningConfig,
    ReasoningEffort,
    ToolChoice,
    ToolMode,
)
from llmproxy_grpc.wire.call import to_labels, to_options, to_routing
from llmproxy_grpc.wire.content_reading import to_message
from llmproxy_grpc.wire.structs import to_json

_MODES = {mode.value: mode for mode in ToolMode}
_EFFORTS = {effort.value: effort for effort in ReasoningEffort}
_MODALITIES = {modality.value: modality for modality in Modality}

_DEFAULT_GENERATION = GenerationConfig()


def to_request(request: pb.ChatRequest) -> ChatRequest:
    """Gives a validated request; numbers of enumerations that this version does not know count as unspecified."""
    tools = request.tools
    return ChatRequest(
        model=request.model,
        messages=tuple([to_message(message) for message in request.messages]),
        tools=tuple([_to_tool(tool) for tool in tools]) if tools else (),
        tool_choice=_to_tool_choice(request.tool_choice) if request.HasField("tool_choice") else None,
        generation=_to_generation(request.generation) if request.HasField("generation") else _DEFAULT_GENERATION,
        end_user_id=request.end_user_id,
        labels=to_labels(request),
        routing=to_routing(request),
        provider_options=to_options(request),
        conversation_id=request.conversation_id,
        data=request.data,
    )


def _to_tool(tool: content_pb2.Tool) -> FunctionTool | ProviderTool:
    if tool.WhichOneof("tool") == "provider":
        provider = tool.provider
        return ProviderTool(provider.provider_kind, provider.type, to_json(provider.config))
    function = tool.function
    return FunctionTool(
        name=function.name,
        description=function.description,
        parameters_json_schema=function.parameters_json_schema,
        strict=function.strict if function.HasField("strict") else None,
    )


def _to_tool_choice(choice: content_pb2.ToolChoice) -> ToolChoice:
    return ToolChoice(
        mode=_MODES.get(choice.mode, ToolMode.UNSPECIFIED),
        function_name=choice.function_name,
        parallel_tool_calls=choice.parallel_tool_calls if choice.HasField("parallel_tool_calls") else None,
    )


def _to_generation(config: generation_pb2.GenerationConfig) -> GenerationConfig:
    # Most of the fields are unset most of the time, and the names are the same on both sides (a test compares them).
    fields = {field.name: value for field, value in config.ListFields()}
    for name in fields.keys() & _CONVERSIONS.keys():
        fields[name] = _CONVERSIONS[name](fields[name])
    return GenerationConfig(**fields)


def _to_reasoning(reasoning: generation_pb2.ReasoningConfig) -> ReasoningConfig:
    return ReasoningConfig(
        effort=_EFFORTS.get(reasoning.effort, ReasoningEffort.UNSPECIFIED),
        budget_tokens=reasoning.budget_tokens if reasoning.HasField("budget_tokens") else None,
        include=reasoning.include if reasoning.HasField("include") else None,
    )


def _to_format(form: generation_pb2.ResponseFormat) -> JsonObjectFormat | JsonSchemaFormat | None:
    kind = form.WhichOneof("format")
    if kind == "json_object":
        return JsonObjectFormat()
    if kind == "json_schema":
        schema = form.json_schema
        return JsonSchemaFormat(schema.name, schema.schema_json, schema.strict if schema.HasField("strict") else None)
    return None


def _to_modalities(numbers: Iterable[int]) -> tuple[Modality, ...]:
    return tuple([_MODALITIES[number] for number in numbers if number in _MODALITIES])


_CONVERSIONS: Mapping[str, Callable[[Any], Any]] = {
    "stop_sequences": tuple,
    "reasoning": _to_reasoning,
    "response_format": _to_format,
    "logit_bias": dict,
    "output_modalities": _to_modalities,
}
