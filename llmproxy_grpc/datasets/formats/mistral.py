"""MISTRAL: {"messages": [...], "tools": [...]}, by the rules of mistral-common for fine-tuning."""

import re
from collections.abc import Sequence
from hashlib import blake2b
from itertools import pairwise
from typing import Final

from msgspec import UNSET, Struct, UnsetType

from llmproxy_grpc.datasets.conversation import conversation_of
from llmproxy_grpc.datasets.example import Example
from llmproxy_grpc.datasets.formats.chat_messages import (
    ChatMessage,
    Dialect,
    Tool,
    chat_messages,
    chat_tools,
    functions_of,
)
from llmproxy_grpc.datasets.formats.draft7 import is_valid
from llmproxy_grpc.datasets.formats.json_text import parameters_of
from llmproxy_grpc.datasets.formats.lines import to_line
from llmproxy_grpc.datasets.formats.tool_names import USUAL, check_tool_names
from llmproxy_grpc.datasets.options import Options
from llmproxy_grpc.datasets.skipping import SkipReason, Unfit
from llmproxy_grpc.datasets.turns import Turn, without_blanks
from llmproxy_grpc.messages import ChatRequest, Role

_DIALECT: Final = Dialect(names=False, names_tools=True)
_ID: Final = re.compile(r"[a-zA-Z0-9]{9}")
_BEFORE_INSTRUCTIONS: Final = frozenset({Role.SYSTEM, Role.USER})
"""Whom the system may follow: beside the beginning, it is not taken behind the model or a tool."""
_DIGITS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


class _Line(Struct, gc=False):
    messages: list[ChatMessage]
    tools: list[Tool] | UnsetType = UNSET


def render(example: Example, options: Options) -> bytes:
    """Writes an example; ids of calls become nine letters and digits, which older tokenizers demand.

    Raises:
        Unfit: It has no valid line.
    """
    turns = without_blanks(conversation_of(example, options).turns)
    _check(turns)
    tools = chat_tools(example.request)
    _check_schemas(example.request)
    check_tool_names(example.request, turns)
    return to_line(_Line(chat_messages(turns, _DIALECT, _ids(turns)), tools))


def _check(turns: Sequence[Turn]) -> None:
    if turns[0].calls:  # its reader counts no calls there, and so refuses their results
        raise Unfit(SkipReason.FIRST_NOT_USER)
    for before, turn in pairwise(turns):
        if turn.role is Role.SYSTEM and before.role not in _BEFORE_INSTRUCTIONS:
            raise Unfit(SkipReason.LATE_INSTRUCTIONS)
    for turn in turns:
        if turn.calls and turn.spoken:
            raise Unfit(SkipReason.TEXT_BESIDE_TOOL_CALL)
        if turn.tool and not USUAL.fullmatch(turn.tool):
            raise Unfit(SkipReason.TOOL_NAME_INVALID)


def _check_schemas(request: ChatRequest) -> None:
    if not all(is_valid(bytes(parameters_of(tool))) for tool in functions_of(request)):
        raise Unfit(SkipReason.TOOL_SCHEMA_INVALID)


def _ids(turns: Sequence[Turn]) -> dict[str, str]:
    ids: dict[str, str] = {}
    for turn in turns:
        for call in turn.calls:
            if call.id not in ids:
                ids[call.id] = _new_id(call.id, set(ids.values()))
    return ids


def _new_id(call_id: str, taken: set[str]) -> str:
    made, seed = call_id, call_id
    while made in taken or not _ID.fullmatch(made):
        digest = blake2b(seed.encode(), digest_size=8).digest()
        number, made = int.from_bytes(digest), ""
        for _ in range(9):
            number, digit = divmod(number, 62)
            made += _DIGITS[digit]
        seed += "+"
    return made
