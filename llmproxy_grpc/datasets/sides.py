"""Conversations for readers that know two sides, the user's and the model's, which speak by turns."""

from collections.abc import Sequence

from msgspec import Struct

from llmproxy_grpc.datasets.skipping import SkipReason, Unfit
from llmproxy_grpc.datasets.turns import INSTRUCTIONS, Turn, without_blanks
from llmproxy_grpc.messages import Role, ToolCallPart


class Sides(Struct, frozen=True):
    """Instructions, then turns of the user and of the model, one after the other; the user is first.

    Results of tools are the user's side; those of one turn's calls are together, in the order of the calls.
    """

    instructions: Sequence[Turn]
    turns: Sequence[Sequence[Turn]]


def sides_of(turns: Sequence[Turn], *, merge_turns: bool) -> Sides:
    """Gives the sides of a conversation whose calls are answered; white space alone beside calls is no text.

    Args:
        turns: The turns.
        merge_turns: Whether turns of one side that follow each other may be one.

    Raises:
        Unfit: Instructions come late, one side speaks twice, or the model speaks first.
    """
    turns = without_blanks(turns)
    start = 0
    while turns[start].role in INSTRUCTIONS:
        start += 1
    grouped: list[list[Turn]] = []
    for turn in turns[start:]:
        if turn.role in INSTRUCTIONS:
            raise Unfit(SkipReason.LATE_INSTRUCTIONS)
        if not grouped or _is_model(grouped[-1]) != _is_model([turn]):
            grouped.append([turn])
            continue
        if not merge_turns and not turn.role is grouped[-1][-1].role is Role.TOOL:
            raise Unfit(SkipReason.CONSECUTIVE_TURNS)
        grouped[-1].append(turn)
    if _is_model(grouped[0]):
        raise Unfit(SkipReason.FIRST_NOT_USER)
    return Sides(turns[:start], [_in_order(side, grouped[place - 1]) for place, side in enumerate(grouped)])


def _is_model(side: Sequence[Turn]) -> bool:
    return side[0].role is Role.ASSISTANT


def _in_order(side: list[Turn], asked: list[Turn]) -> list[Turn]:
    results = [turn for turn in side if turn.role is Role.TOOL]
    if len(results) < 2:
        return side
    places = {call.id: place for place, call in enumerate(_calls(asked))}
    results.sort(key=lambda turn: places[turn.result_of])
    return results + side[len(results) :]


def _calls(side: list[Turn]) -> list[ToolCallPart]:
    return [call for turn in side for call in turn.calls]
