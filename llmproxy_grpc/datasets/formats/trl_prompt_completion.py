"""TRL_PROMPT_COMPLETION: {"prompt": [...], "completion": [...]}, whose loss falls on the completion alone."""

from msgspec import UNSET, Struct, UnsetType

from llmproxy_grpc.datasets.conversation import check_question, conversation_of
from llmproxy_grpc.datasets.example import Example
from llmproxy_grpc.datasets.formats.chat_messages import ChatMessage, Dialect, Tool, chat_messages, chat_tools
from llmproxy_grpc.datasets.formats.lines import to_line
from llmproxy_grpc.datasets.formats.media import image
from llmproxy_grpc.datasets.options import Options

TEMPLATES = Dialect(silence="", picture=image)
"""What chat templates take: text in every message, and pictures by their own kind of part."""


class _Line(Struct, gc=False):
    prompt: list[ChatMessage]
    completion: list[ChatMessage]
    tools: list[Tool] | UnsetType = UNSET
    label: bool | UnsetType = UNSET


def render(example: Example, options: Options) -> bytes:
    """Writes an example.

    Raises:
        Unfit: It has no valid line.
    """
    return line(example, options)


def line(example: Example, options: Options, *, label: bool | UnsetType = UNSET) -> bytes:
    """Writes an example, with or without a judgement of it.

    Raises:
        Unfit: It has no valid line.
    """
    conversation = conversation_of(example, options)
    check_question(conversation.prompt)
    return to_line(
        _Line(
            chat_messages(conversation.prompt, TEMPLATES),
            chat_messages([conversation.answer], TEMPLATES),
            chat_tools(example.request),
            label,
        )
    )
