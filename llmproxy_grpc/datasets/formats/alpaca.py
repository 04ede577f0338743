"""ALPACA: {"instruction": ..., "input": "", "output": ..., "system": ..., "history": [[...], ...]}; text alone."""

from collections.abc import Sequence

from msgspec import Struct

from llmproxy_grpc.datasets.conversation import conversation_of
from llmproxy_grpc.datasets.example import Example
from llmproxy_grpc.datasets.formats.lines import to_line
from llmproxy_grpc.datasets.options import Options
from llmproxy_grpc.datasets.sides import sides_of
from llmproxy_grpc.datasets.skipping import SkipReason, Unfit
from llmproxy_grpc.datasets.turns import Turn


class _Line(Struct, gc=False):
    instruction: str
    input: str
    output: str
    system: str
    history: list[tuple[str, str]]


def render(example: Example, options: Options) -> bytes:
    """Writes an example; every line has every field, so that all lines have one schema.

    Raises:
        Unfit: It has no valid line.
    """
    conversation = conversation_of(example, options)
    if example.request.tools or any(turn.calls for turn in conversation.turns):
        raise Unfit(SkipReason.TOOLS_NOT_SUPPORTED)
    sides = sides_of(conversation.turns, merge_turns=options.merge_turns)
    if len(sides.instructions) > 1:
        raise Unfit(SkipReason.CONSECUTIVE_TURNS)
    system = _text(sides.instructions[0]) if sides.instructions else ""
    *before, question, answer = [_side(side) for side in sides.turns]
    return to_line(_Line(question, "", answer, system, list(zip(before[::2], before[1::2], strict=True))))


def _side(side: Sequence[Turn]) -> str:
    (turn,) = side
    return _text(turn)


def _text(turn: Turn) -> str:
    if turn.pieces:
        raise Unfit(SkipReason.MEDIA_NOT_SUPPORTED)
    return turn.spoken
