"""A conversation as the JSON body of generateContent."""

from collections.abc import Iterable, Mapping
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
from llmproxy_grpc.providers.generate_content.features import NAMES
from llmproxy_grpc.providers.generate_content.generations import (
    Generation,
    budget_within,
    generation_of,
    thinking_by_effort,
)
from llmproxy_grpc.providers.generate_content.history import History
from llmproxy_grpc.providers.options import add_options, counted_options, whole_numbers

_ENCODER = Encoder()
_MODES: Mapping[ToolMode, str] = {ToolMode.AUTO: "AUTO", ToolMode.NONE: "NONE", ToolMode.REQUIRED: "ANY"}
_PLAIN: Final = (
    ("max_output_tokens", "maxOutputTokens"),
    ("temperature", "temperature"),
    ("top_p", "topP"),
    ("top_k", "topK"),
    ("seed", "seed"),
    ("presence_penalty", "presencePenalty"),
    ("frequency_penalty", "frequencyPenalty"),
    ("candidate_count", "candidateCount"),
)


def encode_request(request: ChatRequest, model: str, *, vertex: bool = False) -> bytes:
    """Encodes an adapted request; `model` is Google's own name."""
    return _ENCODER.encode(_body(request, model, vertex=vertex))


def encode_count(request: ChatRequest, model: str, *, name: str) -> bytes:
    """Encodes a prompt that is to be counted; `name` is the model's, with the folder before it."""
    return _ENCODER.encode({"generateContentRequest": {"model": name, **_body(request, model, vertex=False)}})


def encode_vertex_count(request: ChatRequest, model: str) -> bytes:
    """The same as Vertex AI takes it: the fields of the prompt by themselves; raises as `counted_options` does."""
    counted_options(request.provider_options, NAMES, (), untaken=("cachedContent",))
    body = _body(request, model, vertex=True)
    wanted = ("contents", "systemInstruction", "tools", "generationConfig")
    return _ENCODER.encode({name: body[name] for name in wanted if name in body})


def _body(request: ChatRequest, model: str, *, vertex: bool) -> dict[str, Any]:
    generation = generation_of(model)
    history = History(request.messages, generation, vertex=vertex)
    body: dict[str, Any] = {"contents": history.contents()}
    system = history.system()
    if system:
        body["systemInstruction"] = {"parts": system}
    if request.tools:
        body["tools"] = _tools(request.tools)
        config = _tool_config(request, generation, vertex=vertex)
        if config:
            body["toolConfig"] = config
    settings = _settings(request.generation, generation)
    if settings:
        body["generationConfig"] = settings
    add_options(body, request.provider_options, NAMES)
    return body


def _tools(tools: Iterable[FunctionTool | ProviderTool]) -> list[dict[str, Any]]:
    functions = [_function(tool) for tool in tools if isinstance(tool, FunctionTool)]
    others = [{tool.type: whole_numbers(tool.config)} for tool in tools if isinstance(tool, ProviderTool)]
    return [{"functionDeclarations": functions}, *others] if functions else others


def _function(tool: FunctionTool) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name}
    if tool.description:
        function["description"] = tool.description
    if tool.parameters_json_schema:
        # Any JSON Schema, to the byte; the older field `parameters` takes a part of them alone.
        function["parametersJsonSchema"] = Raw(tool.parameters_json_schema.encode())
    return function


def _tool_config(request: ChatRequest, generation: Generation, *, vertex: bool) -> dict[str, Any]:
    functions = [tool for tool in request.tools if isinstance(tool, FunctionTool)]
    if not functions:
        return {}
    config: dict[str, Any] = {}
    calling = _calling(request.tool_choice or ToolChoice(), strict=any(tool.strict for tool in functions))
    if calling:
        config["functionCallingConfig"] = calling
    if len(functions) < len(request.tools) and generation.mixes_tools and not vertex:
        # Demanded at AI Studio.
        config["includeServerSideToolInvocations"] = True
    return config


def _calling(choice: ToolChoice, *, strict: bool) -> dict[str, Any]:
    if choice.function_name:
        return {"mode": "ANY", "allowedFunctionNames": [choice.function_name]}
    if strict and choice.mode in {ToolMode.UNSPECIFIED, ToolMode.AUTO}:
        # ANY holds to the schemas by itself.
        return {"mode": "VALIDATED"}
    return {} if choice.mode is ToolMode.UNSPECIFIED else {"mode": _MODES[choice.mode]}


def _settings(config: GenerationConfig, generation: Generation) -> dict[str, Any]:
    fields = {theirs: value for ours, theirs in _PLAIN if (value := getattr(config, ours)) is not None}
    if config.stop_sequences:
        fields["stopSequences"] = config.stop_sequences
    if config.top_logprobs is not None:
        fields["responseLogprobs"] = True
        if config.top_logprobs:
            fields["logprobs"] = config.top_logprobs
    if config.output_modalities:
        fields["responseModalities"] = [modality.name for modality in config.output_modalities]
    if config.response_format is not None:
        fields |= _response_format(config.response_format)
    thinking = _thinking(config.reasoning, generation) if config.reasoning is not None else {}
    if thinking:
        fields["thinkingConfig"] = thinking
    return fields


def _response_format(wanted: JsonObjectFormat | JsonSchemaFormat) -> dict[str, Any]:
    fields: dict[str, Any] = {"responseMimeType": "application/json"}
    if isinstance(wanted, JsonSchemaFormat):
        fields["responseJsonSchema"] = Raw(wanted.schema_json.encode())
    return fields


def _thinking(reasoning: ReasoningConfig, generation: Generation) -> dict[str, Any]:
    thinking: dict[str, Any] = {}
    if reasoning.include is not None:
        thinking["includeThoughts"] = reasoning.include
    if reasoning.budget_tokens is not None:
        thinking["thinkingBudget"] = budget_within(reasoning.effort, reasoning.budget_tokens, generation)
    elif reasoning.effort is not ReasoningEffort.UNSPECIFIED:
        thinking |= thinking_by_effort(reasoning.effort, generation)
    return thinking
