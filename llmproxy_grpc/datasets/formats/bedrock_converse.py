"""BEDROCK_CONVERSE: {"schemaVersion": "bedrock-conversation-2024", ...}, for tuning Nova at Bedrock and SageMaker."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from msgspec import UNSET, Struct, UnsetType

from llmproxy_grpc.datasets.conversation import conversation_of
from llmproxy_grpc.datasets.example import Example
from llmproxy_grpc.datasets.formats.bedrock_ids import with_known_ids
from llmproxy_grpc.datasets.formats.chat_messages import functions_of
from llmproxy_grpc.datasets.formats.json_text import argument_object, parameters_of
from llmproxy_grpc.datasets.formats.lines import to_line
from llmproxy_grpc.datasets.formats.media import stored_at
from llmproxy_grpc.datasets.formats.tool_names import check_tool_names
from llmproxy_grpc.datasets.options import Options
from llmproxy_grpc.datasets.sides import sides_of
from llmproxy_grpc.datasets.skipping import SkipReason, Unfit
from llmproxy_grpc.datasets.turns import Turn
from llmproxy_grpc.messages import ChatRequest, FunctionTool, MediaPart, Role

_Fields = dict[str, Any]

# The names that Converse has for types of files.
_FORMATS: Final = {
    "image/png": ("image", "png"),
    "image/jpeg": ("image", "jpeg"),
    "image/gif": ("image", "gif"),
    "image/webp": ("image", "webp"),
    "video/mp4": ("video", "mp4"),
    "video/quicktime": ("video", "mov"),
    "video/x-matroska": ("video", "mkv"),
    "video/webm": ("video", "webm"),
}


class _Message(Struct, gc=False):
    role: str
    content: list[_Fields]


class _Line(Struct, gc=False, rename="camel"):
    schema_version: str
    system: list[_Fields] | UnsetType
    messages: list[_Message]
    tool_config: _Fields | UnsetType


def render(example: Example, options: Options) -> bytes:
    """Writes an example; files are taken from S3 alone.

    Raises:
        Unfit: It has no valid line.
    """
    turns = list(with_known_ids(conversation_of(example, options).turns))
    sides = sides_of(turns, merge_turns=options.merge_turns)
    system: list[_Fields] = [{"text": _text(turn)} for turn in sides.instructions]
    messages = [_message(side) for side in sides.turns]
    tools = _tools(example.request, turns)
    check_tool_names(example.request, turns)
    return to_line(_Line("bedrock-conversation-2024", system or UNSET, messages, tools))


def _message(side: Sequence[Turn]) -> _Message:
    role = "assistant" if side[0].role is Role.ASSISTANT else "user"
    return _Message(role, [block for turn in side for block in _blocks(turn)])


def _blocks(turn: Turn) -> Iterator[_Fields]:
    if turn.role is Role.TOOL:
        status = "error" if turn.failed else "success"
        content = [{"text": _text(turn)}]
        yield {"toolResult": {"toolUseId": turn.result_of, "content": content, "status": status}}
        return
    if turn.reasoning:
        yield {"reasoningContent": {"reasoningText": {"text": turn.reasoning}}}
    if turn.spoken:
        yield {"text": turn.spoken}
    for piece in turn.pieces:
        if not isinstance(piece, str):
            yield _file(piece, turn)
        elif piece.strip():  # a text that is blank is refused
            yield {"text": piece}
    for call in turn.calls:
        yield {"toolUse": {"toolUseId": call.id, "name": call.name, "input": argument_object(call)}}


def _file(part: MediaPart, turn: Turn) -> _Fields:
    kind, form = _FORMATS.get(part.plain_type, ("", ""))
    if turn.role is not Role.USER or not kind:
        raise Unfit(SkipReason.MEDIA_NOT_SUPPORTED)
    return {kind: {"format": form, "source": {"s3Location": {"uri": stored_at(part, "s3://")}}}}


def _text(turn: Turn) -> str:
    if turn.pieces:
        raise Unfit(SkipReason.MEDIA_NOT_SUPPORTED)
    return turn.text


def _tools(request: ChatRequest, turns: Sequence[Turn]) -> _Fields | UnsetType:
    # Converse refuses calls without tools: those that were called stand for themselves then.
    called = dict.fromkeys(call.name for turn in turns for call in turn.calls)
    tools = functions_of(request) or [FunctionTool(name) for name in called]
    return {"tools": [{"toolSpec": _spec(tool)} for tool in tools]} if tools else UNSET


def _spec(tool: FunctionTool) -> _Fields:
    described = {"description": tool.description} if tool.description else {}
    return {"name": tool.name, **described, "inputSchema": {"json": parameters_of(tool)}}
