"""TRL_PREFERENCE: {"prompt": [...], "chosen": [...], "rejected": [...]}, for DPO and its relatives."""

from msgspec import UNSET, Struct, UnsetType

from llmproxy_grpc.datasets.conversation import choice_of
from llmproxy_grpc.datasets.example import Example
from llmproxy_grpc.datasets.formats.chat_messages import ChatMessage, Tool, chat_messages, chat_tools
from llmproxy_grpc.datasets.formats.lines import to_line
from llmproxy_grpc.datasets.formats.trl_prompt_completion import TEMPLATES
from llmproxy_grpc.datasets.options import Options


class _Line(Struct, gc=False):
    prompt: list[ChatMessage]
    chosen: list[ChatMessage]
    rejected: list[ChatMessage]
    tools: list[Tool] | UnsetType = UNSET


def render(example: Example, options: Options) -> bytes:
    """Writes an example.

    Raises:
        Unfit: It has no valid line.
    """
    choice = choice_of(example, options)
    return to_line(
        _Line(
            chat_messages(choice.prompt, TEMPLATES),
            chat_messages([choice.chosen], TEMPLATES),
            chat_messages([choice.rejected], TEMPLATES),
            chat_tools(example.request),
        )
    )
