"""OPENAI_PREFERENCE: {"input": {...}, "preferred_output": [...], "non_preferred_output": [...]}, for DPO at OpenAI."""

from msgspec import UNSET, Struct, UnsetType

from llmproxy_grpc.datasets.conversation import choice_of
from llmproxy_grpc.datasets.example import Example
from llmproxy_grpc.datasets.formats.chat_messages import ChatMessage, Tool, chat_messages, chat_tools
from llmproxy_grpc.datasets.formats.lines import to_line
from llmproxy_grpc.datasets.formats.openai_chat import parallel_tool_calls
from llmproxy_grpc.datasets.formats.tool_names import check_tool_names
from llmproxy_grpc.datasets.options import Options
from llmproxy_grpc.datasets.skipping import SkipReason, Unfit
from llmproxy_grpc.messages import Role


class _Input(Struct, gc=False):
    messages: list[ChatMessage]
    tools: list[Tool] | UnsetType = UNSET
    parallel_tool_calls: bool | UnsetType = UNSET


class _Line(Struct, gc=False):
    input: _Input
    preferred_output: list[ChatMessage]
    non_preferred_output: list[ChatMessage]


def render(example: Example, options: Options) -> bytes:
    """Writes an example; one message a side, and texts alone.

    Raises:
        Unfit: It has no valid line.
    """
    choice = choice_of(example, options, developer=Role.DEVELOPER)
    if any(turn.pieces for turn in choice.prompt):
        raise Unfit(SkipReason.MEDIA_NOT_SUPPORTED)
    request = example.request
    tools = chat_tools(request)
    check_tool_names(request, [*choice.prompt, choice.chosen, choice.rejected])
    return to_line(
        _Line(
            _Input(chat_messages(choice.prompt), tools, parallel_tool_calls(request)),
            chat_messages([choice.chosen]),
            chat_messages([choice.rejected]),
        )
    )
