"""Long computations beside the event loop, so that none of them holds all other calls up."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from operator import attrgetter
from typing import Any, Concatenate, Final, ParamSpec, Protocol, TypeVar

MANY: Final = 256
"""Messages, or parts of them, from which on a conversation is long: each takes some 5 µs at every step."""

_THREAD: Final = ThreadPoolExecutor(max_workers=1, thread_name_prefix="aside")
"""One thread for all: the interpreter lets the event loop in within 5 ms, but only if nobody else waits for it."""


_parts = attrgetter("parts")


class Conversation(Protocol):
    """A request with messages, ours or the API's."""

    @property
    def messages(self) -> Sequence[Any]:
        """The messages, each with its `parts`."""
        ...


_P = ParamSpec("_P")
_R = TypeVar("_R")
_C = TypeVar("_C", bound=Conversation)


async def aside(work: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
    """Does work in a thread that needs no event loop, and some milliseconds at least; one after the other.

    Who is cancelled while it waits leaves work that has begun to its end, and nobody asks for the result.
    """
    return await asyncio.get_running_loop().run_in_executor(_THREAD, lambda: work(*args, **kwargs))


async def aside_if_long(
    work: Callable[Concatenate[_C, _P], _R], conversation: _C, *args: _P.args, **kwargs: _P.kwargs
) -> _R:
    """Does work on a conversation: at once, or aside if it is long."""
    messages = conversation.messages
    if len(messages) < MANY and sum(map(len, map(_parts, messages))) < MANY:
        return work(conversation, *args, **kwargs)
    return await aside(work, conversation, *args, **kwargs)
