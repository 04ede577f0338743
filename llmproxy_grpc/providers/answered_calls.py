"""Calls of tools and their results, for APIs that refuse a call whose result does not come before the model goes on."""

from collections.abc import Iterable, Iterator
from itertools import chain, groupby
from operator import attrgetter
from typing import Final

from msgspec.structs import replace

from llmproxy_grpc.messages import Message, Part, Role, ToolCallPart, ToolResultPart
from llmproxy_grpc.providers.instructions import INSTRUCTIONS
from llmproxy_grpc.providers.leaving_out import PartNumbers, without_parts
from llmproxy_grpc.providers.provider import Adapted

_UNANSWERED: Final = "this provider wants the result of each call before the model goes on"


def with_answered_calls(adapted: Adapted, *, in_time: bool = True) -> Adapted:
    """Leaves out calls that have no result, and names them; messages stay where they are, empty if need be.

    Args:
        adapted: The request.
        in_time: Whether results have to come before the model speaks again: later ones go with their calls.
    """
    return without_parts(adapted, _unanswered(adapted.request.messages, in_time=in_time), _UNANSWERED)


def with_results_at_their_calls(adapted: Adapted) -> Adapted:
    """The conversation with each result at once behind the message of its call."""
    adapted = with_answered_calls(adapted)
    messages = adapted.request.messages
    if _are_at_their_calls(messages):
        return adapted
    ordered = tuple(_at_their_calls(as_turns(messages)))
    return replace(adapted, request=replace(adapted.request, messages=ordered))


def as_turns(messages: Iterable[Message]) -> Iterator[Message]:
    """Neighbours of the model are one message where only the last could have its results behind it."""
    for role, group in groupby(messages, attrgetter("role")):
        said = list(group)
        if role is Role.ASSISTANT and any(isinstance(part, ToolCallPart) for each in said[:-1] for part in each.parts):
            yield replace(said[0], parts=tuple(chain.from_iterable(each.parts for each in said)))
        else:
            yield from said


def _unanswered(messages: Iterable[Message], *, in_time: bool) -> dict[PartNumbers, str]:
    """Where calls stand that have no result, in time if need be, and results that come too late."""
    places: dict[PartNumbers, str] = {}
    waiting: dict[str, PartNumbers] = {}
    given_up: set[str] = set()
    heard = False
    for turn, message in enumerate(messages):
        role = message.role
        if role in INSTRUCTIONS or not message.parts:
            continue
        if role is Role.ASSISTANT and heard and waiting and in_time:
            places |= dict.fromkeys(waiting.values(), "tool_call")
            given_up |= waiting.keys()
            waiting = {}
        heard = role is not Role.ASSISTANT
        if role is Role.USER:
            continue
        for place, part in enumerate(message.parts):
            if isinstance(part, ToolCallPart):
                waiting[part.id] = (turn, place)
            elif isinstance(part, ToolResultPart):
                answered = waiting.pop(part.tool_call_id, None)
                if answered is None and part.tool_call_id in given_up:
                    places[turn, place] = "tool_result"
    return places | dict.fromkeys(waiting.values(), "tool_call")


def _are_at_their_calls(messages: Iterable[Message]) -> bool:
    waiting: set[str] = set()
    for message in messages:
        if message.role is Role.TOOL:
            ids = {part.tool_call_id for part in message.parts if isinstance(part, ToolResultPart)}
            if not ids <= waiting:
                return False
            waiting -= ids
        elif waiting:
            return False
        elif message.role is Role.ASSISTANT:
            waiting = {part.id for part in message.parts if isinstance(part, ToolCallPart)}
    return True


def _at_their_calls(messages: Iterable[Message]) -> Iterator[Message]:
    ordered: list[Message | list[Part]] = []
    results: dict[str, list[Part]] = {}
    for message in messages:
        if message.role is Role.TOOL:
            for part in message.parts:
                if isinstance(part, ToolResultPart) and part.tool_call_id in results:
                    results[part.tool_call_id].append(part)
            continue
        ordered.append(message)
        calls = [part.id for part in message.parts if isinstance(part, ToolCallPart)]
        if calls:
            behind: list[Part] = []
            ordered.append(behind)
            results |= dict.fromkeys(calls, behind)
    for each in ordered:
        yield each if isinstance(each, Message) else Message(Role.TOOL, tuple(each))
