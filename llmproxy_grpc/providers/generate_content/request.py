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
from llmproxy_grpc.providers.generate_content.features import NAMES, version_of
from llmproxy_grpc.providers.generate_content.history import History
from llmproxy_grpc.providers.options import add_options, whole_numbers

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
# Gemini 3 is told a level, the generations before it a number of tokens. Source: Google's guide to thinking.
_LEVELS: Mapping[ReasoningEffort, str] = {
    ReasoningEffort.MINIMAL: "MINIMAL",
    ReasoningEffort.LOW: "LOW",
    ReasoningEffort.MEDIUM: "MEDIUM",
    ReasoningEffort.HIGH: "HIGH",
    ReasoningEffort.XHIGH: "XHIGH",
    ReasoningEffort.MAX: "XHIGH",
}
_BUDGETS: Mapping[ReasoningEffort, int] = {
    ReasoningEffort.NONE: 0,
    ReasoningEffort.MINIMAL: 512,
    ReasoningEffort.LOW: 1024,
    ReasoningEffort.MEDIUM: 8192,
    ReasoningEffort.HIGH: 24_576,
    ReasoningEffort.XHIGH: 24_576,
    ReasoningEffort.MAX: 24_576,
}


def encode_request(request: ChatRequest, model: str) -> bytes:
    """Encodes an adapted request; `model` is Google's own name."""
    return _ENCODER.encode(_body(request, model))


def encode_count(request: ChatRequest, model: str, *, name: str) -> bytes:
    """Encodes a prompt that is to be counted; `name` is the model's, with the folder before it."""
    return _ENCODER.encode({"generateContentRequest": {"model": name, **_body(request, model)}})


def encode_vertex_count(request: ChatRequest, model: str) -> bytes:
    """The same as Vertex AI takes it: the fields of the prompt by themselves."""
    body = _body(request, model)
    wanted = ("contents", "systemInstruction", "tools", "generationConfig")
    return _ENCODER.encode({name: body[name] for name in wanted if name in body})


def _body(request: ChatRequest, model: str) -> dict[str, Any]:
    history = History(request.messages, wants_signatures=version_of(model) >= 3)
    body: dict[str, Any] = {"contents": history.contents()}
    system = history.system()
    if system:
        body["systemInstruction"] = {"parts": system}
    if request.tools:
        body["tools"] = _tools(request.tools)
    if request.tool_choice is not None:
        _add_choice(body, request.tool_choice)
    generation = _generation(request.generation, model)
    if generation:
        body["generationConfig"] = generation
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


def _add_choice(body: dict[str, Any], choice: ToolChoice) -> None:
    calling: dict[str, Any] = {}
    if choice.function_name:
        calling = {"mode": "ANY", "allowedFunctionNames": [choice.function_name]}
    elif choice.mode is not ToolMode.UNSPECIFIED:
        calling = {"mode": _MODES[choice.mode]}
    if calling:
        body["toolConfig"] = {"functionCallingConfig": calling}


def _generation(config: GenerationConfig, model: str) -> dict[str, Any]:
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
    thinking = _thinking(config.reasoning, model) if config.reasoning is not None else {}
    if thinking:
        fields["thinkingConfig"] = thinking
    return fields


def _response_format(wanted: JsonObjectFormat | JsonSchemaFormat) -> dict[str, Any]:
    fields: dict[str, Any] = {"responseMimeType": "application/json"}
    if isinstance(wanted, JsonSchemaFormat):
        fields["responseJsonSchema"] = Raw(wanted.schema_json.encode())
    return fields


def _thinking(reasoning: ReasoningConfig, model: str) -> dict[str, Any]:
    thinking: dict[str, Any] = {}
    if reasoning.include is not None:
        thinking["includeThoughts"] = reasoning.include
    if reasoning.budget_tokens is not None:
        thinking["thinkingBudget"] = reasoning.budget_tokens
    elif reasoning.effort is not ReasoningEffort.UNSPECIFIED:
        if version_of(model) >= 3:
            thinking["thinkingLevel"] = _LEVELS[reasoning.effort]
        else:
            thinking["thinkingBudget"] = _BUDGETS[reasoning.effort]
    return thinking
