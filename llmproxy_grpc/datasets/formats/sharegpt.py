"""SHAREGPT: {"conversations": [{"from": "human", "value": ...}, ...], "tools": "..."}, as LLaMA-Factory reads it."""

from collections.abc import Sequence

from msgspec import Raw, Struct
from msgspec.json import encode

from llmproxy_grpc.datasets.conversation import conversation_of
from llmproxy_grpc.datasets.example import Example
from llmproxy_grpc.datasets.formats.chat_messages import functions_of
from llmproxy_grpc.datasets.formats.json_text import argument_object, parameters_of
from llmproxy_grpc.datasets.formats.lines import to_line
from llmproxy_grpc.datasets.options import Options
from llmproxy_grpc.datasets.sides import sides_of
from llmproxy_grpc.datasets.skipping import SkipReason, Unfit
from llmproxy_grpc.datasets.turns import Turn
from llmproxy_grpc.messages import ChatRequest, Role, ToolCallPart

_BETWEEN_RESULTS = "\n</tool_response>\n<tool_response>\n"
"""What LLaMA-Factory itself puts between the results of parallel calls."""


class _Said(Struct, gc=False, rename={"speaker": "from"}):
    speaker: str
    value: str


class _Line(Struct, gc=False):
    conversations: list[_Said]
    tools: str


class _Call(Struct, gc=False):
    name: str
    arguments: Raw


class _Function(Struct, gc=False):
    name: str
    description: str
    parameters: Raw


def render(example: Example, options: Options) -> bytes:
    """Writes an example; the instructions are its first turn, and no tools are an empty text: readers want the field.

    Raises:
        Unfit: It has no valid line.
    """
    sides = sides_of(conversation_of(example, options).turns, merge_turns=options.merge_turns)
    if len(sides.instructions) > 1:
        raise Unfit(SkipReason.CONSECUTIVE_TURNS)
    instructions = [_Said("system", _text(turn)) for turn in sides.instructions]
    return to_line(_Line(instructions + [_side(side) for side in sides.turns], _tools(example.request)))


def _side(side: Sequence[Turn]) -> _Said:
    first = side[0]
    if first.role is Role.TOOL:
        if side[-1].role is not Role.TOOL:
            # A result and what the user adds to it: there is no such turn here.
            raise Unfit(SkipReason.CONSECUTIVE_TURNS)
        return _Said("observation", _BETWEEN_RESULTS.join([_text(turn) for turn in side]))
    if first.calls:
        return _Said("function_call", _calls(first))
    return _Said("gpt" if first.role is Role.ASSISTANT else "human", _text(first))


def _calls(turn: Turn) -> str:
    if turn.text or turn.pieces:
        raise Unfit(SkipReason.TEXT_BESIDE_TOOL_CALL)
    calls = [_call(call) for call in turn.calls]
    # LLaMA-Factory takes <think> and <tool_call> for marks wherever they stand, also in the arguments.
    return turn.thought + encode(calls if len(calls) > 1 else calls[0]).decode().replace("<", r"\u003c")


def _call(call: ToolCallPart) -> _Call:
    return _Call(call.name, argument_object(call))  # read as an object, though it is in a text


def _text(turn: Turn) -> str:
    if turn.pieces:
        raise Unfit(SkipReason.MEDIA_NOT_SUPPORTED)
    return turn.spoken


def _tools(request: ChatRequest) -> str:
    if not request.tools:
        return ""
    functions = [_Function(each.name, each.description, parameters_of(each)) for each in functions_of(request)]
    return encode(functions).decode()
