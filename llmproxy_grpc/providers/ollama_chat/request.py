"""A conversation as the JSON body of POST /api/chat."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from msgspec import Raw
from msgspec.json import Encoder

from llmproxy_grpc.messages import (
    ChatRequest,
    EmbedRequest,
    GenerationConfig,
    JsonSchemaFormat,
    MediaPart,
    Message,
    ReasoningEffort,
    ReasoningPart,
    RefusalPart,
    Role,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from llmproxy_grpc.providers.continuity import thinking_of
from llmproxy_grpc.providers.media import base64_of
from llmproxy_grpc.providers.ollama_chat.features import NAMES
from llmproxy_grpc.providers.options import add_options
from llmproxy_grpc.providers.result_order import with_results_in_order
from llmproxy_grpc.providers.tool_arguments import as_object
from llmproxy_grpc.providers.tools import forbids_calls, tool_json

_ENCODER = Encoder()
_ROLES: Mapping[Role, str] = {
    Role.SYSTEM: "system",
    Role.DEVELOPER: "system",
    Role.USER: "user",
    Role.ASSISTANT: "assistant",
}
_OPTIONS: Final = (
    ("max_output_tokens", "num_predict"),
    ("temperature", "temperature"),
    ("top_p", "top_p"),
    ("top_k", "top_k"),
    ("seed", "seed"),
    ("presence_penalty", "presence_penalty"),
    ("frequency_penalty", "frequency_penalty"),
)
# Most models think or not; those with levels know three of them.
_THINK: Mapping[ReasoningEffort, bool | str] = {
    ReasoningEffort.NONE: False,
    ReasoningEffort.MINIMAL: "low",
    ReasoningEffort.LOW: "low",
    ReasoningEffort.MEDIUM: "medium",
    ReasoningEffort.HIGH: "high",
    ReasoningEffort.XHIGH: "high",
    ReasoningEffort.MAX: "high",
}


def encode_request(request: ChatRequest, model: str, *, stream: bool) -> bytes:
    """Encodes an adapted request; `model` is Ollama's own name."""
    # Streaming is what Ollama does unless it is told otherwise.
    body: dict[str, Any] = {"model": model, "messages": list(_messages(request.messages)), "stream": stream}
    if request.tools and not forbids_calls(request.tool_choice):
        body["tools"] = [tool_json(tool) for tool in request.tools]
    _add_generation(body, request.generation)
    add_options(body, request.provider_options, NAMES)
    return _ENCODER.encode(body)


def encode_embed(request: EmbedRequest, model: str) -> bytes:
    """Encodes a request for vectors; what is too long is an error, as everywhere, not cut off."""
    texts = [part.text if isinstance(part, TextPart) else "" for part in request.inputs]
    body: dict[str, Any] = {"model": model, "input": texts, "truncate": False}
    if request.dimensions is not None:
        body["dimensions"] = request.dimensions
    add_options(body, request.provider_options, NAMES)
    return _ENCODER.encode(body)


def _messages(messages: Iterable[Message]) -> Iterator[dict[str, Any]]:
    names: dict[str, str] = {}
    for message in with_results_in_order(messages):
        names |= {part.id: part.name for part in message.parts if isinstance(part, ToolCallPart)}
        if message.role is Role.TOOL:
            yield from (_result(part, names) for part in message.parts if isinstance(part, ToolResultPart))
        else:
            yield _message(message)


def _message(message: Message) -> dict[str, Any]:
    parts = message.parts
    fields: dict[str, Any] = {"role": _ROLES[message.role], "content": _text(parts)}
    pictures = [base64_of(part) for part in parts if isinstance(part, MediaPart)]
    if pictures:
        fields["images"] = pictures
    thinking = "".join(thinking_of(part) for part in parts if isinstance(part, ReasoningPart))
    if thinking:
        fields["thinking"] = thinking
    calls = [_call(part) for part in parts if isinstance(part, ToolCallPart)]
    if calls:
        fields["tool_calls"] = calls
    return fields


def _result(part: ToolResultPart, names: Mapping[str, str]) -> dict[str, Any]:
    # What the application calls it counts where the call is not to be seen.
    name = names.get(part.tool_call_id) or part.name
    return {"role": "tool", "content": _text(part.content), "tool_name": name, "tool_call_id": part.tool_call_id}


def _call(part: ToolCallPart) -> dict[str, Any]:
    return {"id": part.id, "function": {"name": part.name, "arguments": as_object(part.arguments_json)}}


def _text(parts: Iterable[object]) -> str:
    return "".join(part.text for part in parts if isinstance(part, TextPart | RefusalPart))


def _add_generation(body: dict[str, Any], config: GenerationConfig) -> None:
    options = {theirs: value for ours, theirs in _OPTIONS if (value := getattr(config, ours)) is not None}
    if config.stop_sequences:
        options["stop"] = config.stop_sequences
    if options:
        body["options"] = options
    if config.top_logprobs is not None:
        body["logprobs"] = True
        if config.top_logprobs:
            body["top_logprobs"] = config.top_logprobs
    if isinstance(config.response_format, JsonSchemaFormat):
        body["format"] = Raw(config.response_format.schema_json.encode())
    elif config.response_format is not None:
        body["format"] = "json"
    if config.reasoning is not None and config.reasoning.effort is not ReasoningEffort.UNSPECIFIED:
        body["think"] = _THINK[config.reasoning.effort]
