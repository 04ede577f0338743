"""Results of tools in the order of their calls, for wires that know them by name, where the order alone tells some."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import count

from llmproxy_grpc.messages import Message, Part, Role, ToolCallPart, ToolResultPart


def with_results_in_order(messages: Iterable[Message]) -> Iterator[Message]:
    """The conversation, in which neighbouring messages of tools are one, with the results as they were called for."""
    numbers = count()
    places: dict[str, int] = {}
    waiting: list[Part] = []
    for message in messages:
        if message.role is Role.TOOL:
            waiting += message.parts
            continue
        if waiting:
            yield _in_order(waiting, places)
            waiting = []
        if message.role is Role.ASSISTANT:
            # An id that comes again is that of its latest call.
            places |= {part.id: next(numbers) for part in message.parts if isinstance(part, ToolCallPart)}
        yield message
    if waiting:
        yield _in_order(waiting, places)


def _in_order(results: Iterable[Part], places: Mapping[str, int]) -> Message:
    def place(part: Part) -> tuple[bool, int]:
        known = places.get(part.tool_call_id) if isinstance(part, ToolResultPart) else None
        return (True, 0) if known is None else (False, known)

    return Message(Role.TOOL, tuple(sorted(results, key=place)))
