"""OPENAI_CHAT: {"messages": [...], "tools": [...]}, which most trainers read."""

from msgspec import UNSET, Struct, UnsetType

from llmproxy_grpc.datasets.conversation import conversation_of
from llmproxy_grpc.datasets.example import Example
from llmproxy_grpc.datasets.formats.chat_messages import ChatMessage, Tool, chat_messages, chat_tools
from llmproxy_grpc.datasets.formats.lines import to_line
from llmproxy_grpc.datasets.formats.tool_names import check_tool_names
from llmproxy_grpc.datasets.options import Options
from llmproxy_grpc.messages import ChatRequest, Role


class _Line(Struct, gc=False):
    messages: list[ChatMessage]
    tools: list[Tool] | UnsetType = UNSET
    parallel_tool_calls: bool | UnsetType = UNSET


def render(example: Example, options: Options) -> bytes:
    """Writes an example.

    Raises:
        Unfit: It has no valid line.
    """
    conversation = conversation_of(example, options, developer=Role.DEVELOPER)
    messages = chat_messages(conversation.turns)
    tools = chat_tools(example.request)
    check_tool_names(example.request, conversation.turns)
    return to_line(_Line(messages, tools, parallel_tool_calls(example.request)))


def parallel_tool_calls(request: ChatRequest) -> bool | UnsetType:
    """Whether several calls may come in one turn, if there are tools and the caller said so."""
    choice = request.tool_choice
    if not request.tools or choice is None or choice.parallel_tool_calls is None:
        return UNSET
    return choice.parallel_tool_calls
