"""A conversation as the JSON body of POST /v2/chat, and inputs as that of POST /v2/embed."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from msgspec import Raw
from msgspec.json import Encoder

from llmproxy_grpc.messages import (
    ChatRequest,
    EmbedPurpose,
    EmbedRequest,
    FunctionTool,
    GenerationConfig,
    JsonSchemaFormat,
    MediaDetail,
    MediaPart,
    Message,
    Part,
    ReasoningEffort,
    ReasoningPart,
    RefusalPart,
    Role,
    TextPart,
    ToolCallPart,
    ToolMode,
    ToolResultPart,
)
from llmproxy_grpc.providers.cohere_chat.features import NAMES, PURPOSES
from llmproxy_grpc.providers.cohere_chat.thinking import is_plan, thinking_of
from llmproxy_grpc.providers.media import url_of
from llmproxy_grpc.providers.options import add_options
from llmproxy_grpc.providers.tools import tool_json

_ENCODER = Encoder()
_ROLES: Mapping[Role, str] = {Role.SYSTEM: "system", Role.DEVELOPER: "system", Role.USER: "user"}
_DETAILS: Mapping[MediaDetail, str] = {MediaDetail.LOW: "low", MediaDetail.HIGH: "high"}
_SETTINGS: Final = (
    ("max_output_tokens", "max_tokens"),
    ("temperature", "temperature"),
    ("top_p", "p"),
    ("top_k", "k"),
    ("seed", "seed"),
    ("presence_penalty", "presence_penalty"),
    ("frequency_penalty", "frequency_penalty"),
)


def encode_request(request: ChatRequest, model: str, *, stream: bool) -> bytes:
    """Encodes an adapted request; `model` is Cohere's own name."""
    body: dict[str, Any] = {"model": model, "messages": list(_messages(request.messages)), "stream": stream}
    if request.tools:
        body["tools"] = [tool_json(tool) for tool in request.tools]
        if any(isinstance(tool, FunctionTool) and tool.strict for tool in request.tools):
            body["strict_tools"] = True
    mode = request.tool_choice.mode if request.tool_choice is not None else ToolMode.UNSPECIFIED
    if mode in {ToolMode.NONE, ToolMode.REQUIRED}:
        body["tool_choice"] = mode.name
    _add_generation(body, request.generation)
    add_options(body, request.provider_options, NAMES)
    return _ENCODER.encode(body)


def encode_embed(request: EmbedRequest, model: str) -> bytes:
    """Encodes a request for vectors, which has to say what they are for."""
    body: dict[str, Any] = {
        "model": model,
        "texts": [part.text if isinstance(part, TextPart) else "" for part in request.inputs],
        "input_type": PURPOSES.get(request.purpose, PURPOSES[EmbedPurpose.DOCUMENT]),
        "embedding_types": ["float"],
        "truncate": "NONE",  # what is too long is an error, as everywhere, not cut off
    }
    if request.dimensions is not None:
        body["output_dimension"] = request.dimensions
    add_options(body, request.provider_options, NAMES)
    return _ENCODER.encode(body)


def _messages(messages: Iterable[Message]) -> Iterator[dict[str, Any]]:
    for message in messages:
        if message.role is Role.TOOL:
            yield from (_result(part) for part in message.parts if isinstance(part, ToolResultPart))
        elif message.role is Role.ASSISTANT:
            said = _said(message.parts)
            if len(said) > 1:  # neither content nor calls would be an error
                yield said
        else:
            yield {"role": _ROLES[message.role], "content": _content(message.parts)}


def _result(part: ToolResultPart) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": part.tool_call_id, "content": _text(part.content)}


def _said(parts: Iterable[Part]) -> dict[str, Any]:
    parts = tuple(parts)
    fields: dict[str, Any] = {"role": "assistant"}
    thoughts = [thinking_of(part) for part in parts if isinstance(part, ReasoningPart) and not is_plan(part)]
    content: list[dict[str, Any]] = [{"type": "thinking", "thinking": text} for text in thoughts if text]
    if text := _text(parts):
        content.append({"type": "text", "text": text})
    if content:
        fields["content"] = content
    plan = "".join(thinking_of(part) for part in parts if isinstance(part, ReasoningPart) and is_plan(part))
    if plan:
        fields["tool_plan"] = plan
    calls = [_call(part) for part in parts if isinstance(part, ToolCallPart)]
    if calls:
        fields["tool_calls"] = calls
    return fields


def _call(part: ToolCallPart) -> dict[str, Any]:
    return {"id": part.id, "type": "function", "function": {"name": part.name, "arguments": part.arguments_json}}


def _content(parts: tuple[Part, ...]) -> str | list[dict[str, Any]]:
    if not any(isinstance(part, MediaPart) for part in parts):
        return _text(parts)
    return [
        _picture(part) if isinstance(part, MediaPart) else {"type": "text", "text": part.text}
        for part in parts
        if isinstance(part, MediaPart | TextPart)
    ]


def _picture(part: MediaPart) -> dict[str, Any]:
    picture = {"url": url_of(part)}
    if part.detail:
        picture["detail"] = _DETAILS[part.detail]
    return {"type": "image_url", "image_url": picture}


def _text(parts: Iterable[Part]) -> str:
    return "".join(part.text for part in parts if isinstance(part, TextPart | RefusalPart))


def _add_generation(body: dict[str, Any], config: GenerationConfig) -> None:
    body |= {theirs: value for ours, theirs in _SETTINGS if (value := getattr(config, ours)) is not None}
    if config.top_logprobs is not None:
        body["logprobs"] = True
    if config.stop_sequences:
        body["stop_sequences"] = config.stop_sequences
    if config.response_format is not None:
        wanted: dict[str, Any] = {"type": "json_object"}
        if isinstance(config.response_format, JsonSchemaFormat):
            wanted["json_schema"] = Raw(config.response_format.schema_json.encode())
        body["response_format"] = wanted
    reasoning = config.reasoning
    if reasoning is not None and reasoning.effort is ReasoningEffort.NONE:
        body["thinking"] = {"type": "disabled"}
    elif reasoning is not None and reasoning.budget_tokens is not None:
        body["thinking"] = {"type": "enabled", "token_budget": reasoning.budget_tokens}
