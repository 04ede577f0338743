"""Messages and tools in the shape of Chat Completions, which several formats share."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from msgspec import UNSET, Raw, Struct, UnsetType

from llmproxy_grpc.datasets.formats.json_text import arguments_of, parameters_of
from llmproxy_grpc.datasets.formats.media import image_url
from llmproxy_grpc.datasets.skipping import SkipReason, Unfit
from llmproxy_grpc.datasets.turns import Turn
from llmproxy_grpc.messages import ChatRequest, FunctionTool, MediaKind, MediaPart, ProviderTool, Role, ToolCallPart

ROLES = {
    Role.SYSTEM: "system",
    Role.DEVELOPER: "developer",
    Role.USER: "user",
    Role.ASSISTANT: "assistant",
    Role.TOOL: "tool",
}


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


class Dialect(Struct, frozen=True):
    """In what the readers of this shape differ.

    Attributes:
        silence: The content of a message that has calls alone.
        picture: Writes a picture as a part.
        names: Whether participants may have names.
        names_tools: Whether a result tells the name of its tool.
    """

    silence: str | None = None
    picture: Callable[[MediaPart], dict[str, Any]] = image_url
    names: bool = True
    names_tools: bool = False


OPENAI = Dialect()


def chat_messages(
    turns: Iterable[Turn], dialect: Dialect = OPENAI, ids: Mapping[str, str] | None = None
) -> list[ChatMessage]:
    """Writes turns.

    Args:
        turns: The turns.
        dialect: What the reader takes.
        ids: Other ids for those of the calls.

    Raises:
        Unfit: A call's arguments are no JSON, or there is media that the shape does not take.
    """
    return [_message(turn, dialect, ids) for turn in turns]


def chat_tools(request: ChatRequest) -> list[Tool] | UnsetType:
    """Writes the tools of a request; nothing if there are none.

    Raises:
        Unfit: A tool is the provider's own, or its schema is no JSON.
    """
    return [_tool(tool) for tool in functions_of(request)] if request.tools else UNSET


def functions_of(request: ChatRequest) -> list[FunctionTool]:
    """The functions of a request.

    Raises:
        Unfit: A tool is the provider's own: no reader knows what it does.
    """
    return [_function(tool) for tool in request.tools]


def _function(tool: FunctionTool | ProviderTool) -> FunctionTool:
    if isinstance(tool, ProviderTool):
        raise Unfit(SkipReason.PROVIDER_TOOL)
    return tool


def _message(turn: Turn, dialect: Dialect, ids: Mapping[str, str] | None) -> ChatMessage:
    message = ChatMessage(ROLES[turn.role], _content(turn, dialect))
    if turn.reasoning:
        message.reasoning_content = turn.reasoning
    if turn.name and dialect.names:
        message.name = turn.name
    if turn.calls:
        message.tool_calls = [_call(call, ids) for call in turn.calls]
    if turn.role is Role.TOOL:
        message.tool_call_id = ids[turn.result_of] if ids else turn.result_of
        if turn.tool and dialect.names_tools:
            message.name = turn.tool
    return message


def _content(turn: Turn, dialect: Dialect) -> str | list[dict[str, Any]] | None:
    if not turn.pieces:
        spoken = turn.spoken
        return spoken or (dialect.silence if turn.calls else "")
    if turn.role is not Role.USER:
        raise Unfit(SkipReason.MEDIA_NOT_SUPPORTED)
    return [
        {"type": "text", "text": piece} if isinstance(piece, str) else _picture(piece, dialect) for piece in turn.pieces
    ]


def _picture(part: MediaPart, dialect: Dialect) -> dict[str, Any]:
    if part.kind is not MediaKind.IMAGE:
        raise Unfit(SkipReason.MEDIA_NOT_SUPPORTED)
    return dialect.picture(part)


def _call(call: ToolCallPart, ids: Mapping[str, str] | None) -> Call:
    return Call(ids[call.id] if ids else call.id, "function", CalledFunction(call.name, arguments_of(call)))


def _tool(tool: FunctionTool) -> Tool:
    strict = UNSET if tool.strict is None else tool.strict
    return Tool("function", Function(tool.name, tool.description or UNSET, parameters_of(tool), strict))
