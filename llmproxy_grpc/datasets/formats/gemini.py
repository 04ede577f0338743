"""GEMINI: {"systemInstruction": {...}, "contents": [...], "tools": [...]}, for tuning at Vertex AI."""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

from msgspec import UNSET, Raw, Struct, UnsetType

from llmproxy_grpc.datasets.conversation import conversation_of
from llmproxy_grpc.datasets.example import Example
from llmproxy_grpc.datasets.formats.chat_messages import functions_of
from llmproxy_grpc.datasets.formats.gemini_schema import is_plain
from llmproxy_grpc.datasets.formats.json_text import argument_object, parameters_of, plain_object
from llmproxy_grpc.datasets.formats.lines import to_line
from llmproxy_grpc.datasets.formats.media import stored_at
from llmproxy_grpc.datasets.formats.tool_names import check_tool_names
from llmproxy_grpc.datasets.options import Options
from llmproxy_grpc.datasets.sides import sides_of
from llmproxy_grpc.datasets.skipping import SkipReason, Unfit
from llmproxy_grpc.datasets.turns import Turn
from llmproxy_grpc.messages import ChatRequest, FunctionTool, MediaPart, Role

_Fields = dict[str, Any]

_NAMES: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,127}")


class _Content(Struct, gc=False):
    role: str
    parts: list[_Fields]


class _Line(Struct, gc=False, rename="camel"):
    system_instruction: _Content | UnsetType
    contents: list[_Content]
    tools: list[_Fields] | UnsetType


def render(example: Example, options: Options) -> bytes:
    """Writes an example; files are taken from Cloud Storage alone.

    Raises:
        Unfit: It has no valid line.
    """
    turns = conversation_of(example, options).turns
    sides = sides_of(turns, merge_turns=options.merge_turns)
    system = [{"text": _text(turn)} for turn in sides.instructions]
    tools = _tools(example.request)
    check_tool_names(example.request, turns, _NAMES)
    contents = [_content(side, asked) for asked, side in pairwise([(), *sides.turns])]
    return to_line(_Line(_Content("system", system) if system else UNSET, contents, tools))


def _content(side: Sequence[Turn], asked: Sequence[Turn]) -> _Content:
    names = {call.id: call.name for turn in asked for call in turn.calls}  # ids may come again later
    role = "model" if side[0].role is Role.ASSISTANT else "user"
    return _Content(role, [part for turn in side for part in _parts(turn, names)])


def _parts(turn: Turn, names: Mapping[str, str]) -> Iterator[_Fields]:
    if turn.role is Role.TOOL:
        yield {"functionResponse": {"name": names[turn.result_of], "response": _response(turn)}}
        return
    if turn.reasoning:
        yield {"text": turn.reasoning, "thought": True}
    if turn.spoken:
        yield {"text": turn.spoken}
    for piece in turn.pieces:
        if not isinstance(piece, str):
            yield _file(piece, turn)
        elif piece:  # a text that is empty is refused
            yield {"text": piece}
    for call in turn.calls:
        yield {"functionCall": {"name": call.name, "args": argument_object(call)}}


def _file(part: MediaPart, turn: Turn) -> _Fields:
    mime_type = part.plain_type
    if turn.role is not Role.USER or not mime_type:
        raise Unfit(SkipReason.MEDIA_NOT_SUPPORTED)
    return {"fileData": {"mimeType": mime_type, "fileUri": stored_at(part, "gs://")}}


def _response(turn: Turn) -> Raw | _Fields:
    """What the tool said, as the object that the API demands: its own, or one that tells whether it failed."""
    text = _text(turn)
    if turn.failed:
        return {"error": text}
    own = plain_object(text)
    return {"output": text} if own is None else own


def _text(turn: Turn) -> str:
    if turn.pieces:
        raise Unfit(SkipReason.MEDIA_NOT_SUPPORTED)
    return turn.text


def _tools(request: ChatRequest) -> list[_Fields] | UnsetType:
    if not request.tools:
        return UNSET
    return [{"functionDeclarations": [_declaration(tool) for tool in functions_of(request)]}]


def _declaration(tool: FunctionTool) -> _Fields:
    described = {"description": tool.description} if tool.description else {}
    schema = parameters_of(tool)
    field = "parameters" if is_plain(bytes(schema)) else "parametersJsonSchema"
    return {"name": tool.name, **described, field: schema}
