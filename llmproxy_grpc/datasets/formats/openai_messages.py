"""Messages and tools in the shape of Chat Completions, which several formats share."""

from collections.abc import Iterable
from typing import Any

from msgspec import UNSET, Raw, Struct, UnsetType

from llmproxy_grpc.datasets.formats.json_text import arguments_of, parameters_of
from llmproxy_grpc.datasets.formats.media import data_url
from llmproxy_grpc.datasets.skipping import SkipReason, Unfit
from llmproxy_grpc.datasets.turns import Turn
from llmproxy_grpc.messages import (
    ChatRequest,
    FunctionTool,
    MediaDetail,
    MediaKind,
    MediaPart,
    ProviderTool,
    Role,
    ToolCallPart,
)

ROLES = {
    Role.SYSTEM: "system",
    Role.DEVELOPER: "developer",
    Role.USER: "user",
    Role.ASSISTANT: "assistant",
    Role.TOOL: "tool",
}
ROLES_OF_OTHERS = ROLES | {Role.DEVELOPER: "system"}
"""The roles that readers other than OpenAI know."""

_DETAILS = {MediaDetail.LOW: "low", MediaDetail.HIGH: "high"}


class CalledFunction(Struct, gc=False):
    """What a call calls; `arguments` is text, to the byte."""

    name: str
    arguments: str


class Call(Struct, gc=False):
    """A call."""

    id: str
    type: str
    function: CalledFunction


class ChatMessage(Struct, gc=False):
    """A message."""

    role: str
    content: str | list[dict[str, Any]] | None
    reasoning_content: str | UnsetType = UNSET
    name: str | UnsetType = UNSET
    tool_calls: list[Call] | UnsetType = UNSET
    tool_call_id: str | UnsetType = UNSET


class Function(Struct, gc=False):
    """What a tool does."""

    name: str
    description: str | UnsetType
    parameters: Raw
    strict: bool | UnsetType = UNSET


class Tool(Struct, gc=False):
    """A tool."""

    type: str
    function: Function


def chat_messages(turns: Iterable[Turn], roles: dict[Role, str]) -> list[ChatMessage]:
    """Writes turns.

    Raises:
        Unfit: A call's arguments are no JSON, or there is media that the shape does not take.
    """
    return [_message(turn, roles) for turn in turns]


def chat_tools(request: ChatRequest) -> list[Tool] | UnsetType:
    """Writes the tools of a request; nothing if there are none.

    Raises:
        Unfit: A tool is the provider's own, or its schema is no JSON.
    """
    return [_tool(tool) for tool in request.tools] if request.tools else UNSET


def _message(turn: Turn, roles: dict[Role, str]) -> ChatMessage:
    message = ChatMessage(roles[turn.role], _content(turn))
    if turn.reasoning:
        message.reasoning_content = turn.reasoning
    if turn.name:
        message.name = turn.name
    if turn.calls:
        message.tool_calls = [_call(call) for call in turn.calls]
    if turn.role is Role.TOOL:
        message.tool_call_id = turn.result_of
    return message


def _content(turn: Turn) -> str | list[dict[str, Any]] | None:
    if turn.pieces:
        if turn.role is not Role.USER:
            raise Unfit(SkipReason.MEDIA_NOT_SUPPORTED)
        return [{"type": "text", "text": piece} if isinstance(piece, str) else _picture(piece) for piece in turn.pieces]
    return turn.text or None if turn.calls else turn.text


def _picture(part: MediaPart) -> dict[str, Any]:
    if part.kind is not MediaKind.IMAGE:
        raise Unfit(SkipReason.MEDIA_NOT_SUPPORTED)
    image = {"url": data_url(part)}
    if part.detail:
        image["detail"] = _DETAILS[part.detail]
    return {"type": "image_url", "image_url": image}


def _call(call: ToolCallPart) -> Call:
    return Call(call.id, "function", CalledFunction(call.name, arguments_of(call)))


def _tool(tool: FunctionTool | ProviderTool) -> Tool:
    if isinstance(tool, ProviderTool):
        raise Unfit(SkipReason.PROVIDER_TOOL)
    function = Function(tool.name, tool.description or UNSET, parameters_of(tool))
    if tool.strict is not None:
        function.strict = tool.strict
    return Tool("function", function)
