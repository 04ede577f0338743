"""A conversation's request, to protobuf: for an upstream that speaks our own API."""

from collections.abc import Callable, Mapping
from typing import Any

from llmproxy_grpc._gen.v1 import chat_pb2 as pb
from llmproxy_grpc._gen.v1 import content_pb2, generation_pb2, model_pb2
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
from llmproxy_grpc.wire.call_writing import fill_call
from llmproxy_grpc.wire.content_writing import fill_message
from llmproxy_grpc.wire.scalars import mending, number
from llmproxy_grpc.wire.structs import fill_struct

_DEFAULT_GENERATION = GenerationConfig()


@mending
def from_request(request: ChatRequest) -> pb.ChatRequest:
    """Gives a request for an answer in one message."""
    target = pb.ChatRequest()
    _fill_request(target, request)
    return target


@mending
def stream_request(request: ChatRequest) -> pb.StreamRequest:
    """Gives a request for a streamed answer, with the options of the stream left to the upstream."""
    target = pb.StreamRequest()
    _fill_request(target.chat, request)
    return target


@mending
def count_request(request: ChatRequest) -> model_pb2.CountTokensRequest:
    """Gives a request for the length of a prompt."""
    target = model_pb2.CountTokensRequest()
    _fill_request(target.chat, request)
    return target


def _fill_request(target: pb.ChatRequest, request: ChatRequest) -> None:
    target.SetInParent()
    target.model = request.model
    for message in request.messages:
        fill_message(target.messages.add(), message)
    for tool in request.tools:
        _fill_tool(target.tools.add(), tool)
    if request.tool_choice is not None:
        _fill_tool_choice(target.tool_choice, request.tool_choice)
    if request.generation != _DEFAULT_GENERATION:
        _fill_generation(target.generation, request.generation)
    if request.conversation_id:
        target.conversation_id = request.conversation_id
    if request.data:
        target.data = number(request.data)
    fill_call(target, request)


def _fill_tool(target: content_pb2.Tool, tool: FunctionTool | ProviderTool) -> None:
    if isinstance(tool, ProviderTool):
        target.provider.provider_kind = tool.provider_kind
        target.provider.type = tool.type
        fill_struct(target.provider.config, tool.config)
        return
    function = target.function
    function.name = tool.name
    function.description = tool.description
    function.parameters_json_schema = tool.parameters_json_schema
    if tool.strict is not None:
        function.strict = tool.strict


def _fill_tool_choice(target: content_pb2.ToolChoice, choice: ToolChoice) -> None:
    target.SetInParent()
    if choice.function_name:
        target.function_name = choice.function_name
    elif choice.mode is not ToolMode.UNSPECIFIED:
        target.mode = number(choice.mode)
    if choice.parallel_tool_calls is not None:
        target.parallel_tool_calls = choice.parallel_tool_calls


def _fill_generation(target: generation_pb2.GenerationConfig, config: GenerationConfig) -> None:
    # The names are the same on both sides, and most of the fields are unset most of the time.
    for name in GenerationConfig.__struct_fields__:
        value = getattr(config, name)
        if value is None or value == ():
            continue
        write = _WRITERS.get(name)
        if write is None:
            setattr(target, name, value)
        else:
            write(target, value)


def _fill_stop_sequences(target: generation_pb2.GenerationConfig, stop_sequences: tuple[str, ...]) -> None:
    target.stop_sequences.extend(stop_sequences)


def _fill_reasoning(target: generation_pb2.GenerationConfig, config: ReasoningConfig) -> None:
    reasoning = target.reasoning
    reasoning.SetInParent()
    if config.effort is not ReasoningEffort.UNSPECIFIED:
        reasoning.effort = number(config.effort)
    if config.budget_tokens is not None:
        reasoning.budget_tokens = config.budget_tokens
    if config.include is not None:
        reasoning.include = config.include


def _fill_format(target: generation_pb2.GenerationConfig, form: JsonObjectFormat | JsonSchemaFormat) -> None:
    if isinstance(form, JsonObjectFormat):
        target.response_format.json_object.SetInParent()
        return
    schema = target.response_format.json_schema
    schema.name = form.name
    schema.schema_json = form.schema_json
    if form.strict is not None:
        schema.strict = form.strict


def _fill_logit_bias(target: generation_pb2.GenerationConfig, bias: Mapping[int, float]) -> None:
    target.logit_bias.update(bias)


def _fill_modalities(target: generation_pb2.GenerationConfig, modalities: tuple[Modality, ...]) -> None:
    target.output_modalities.extend([number(modality) for modality in modalities])


_WRITERS: Mapping[str, Callable[[generation_pb2.GenerationConfig, Any], None]] = {
    "stop_sequences": _fill_stop_sequences,
    "reasoning": _fill_reasoning,
    "response_format": _fill_format,
    "logit_bias": _fill_logit_bias,
    "output_modalities": _fill_modalities,
}
