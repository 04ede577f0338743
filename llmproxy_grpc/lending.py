"""Something that is lent to many at a time, whose owner waits until all have given it back."""

import asyncio
from contextlib import AbstractContextManager
from typing import Generic, TypeVar

Thing = TypeVar("Thing")


class Lending(AbstractContextManager[Thing], Generic[Thing]):
    """Lends a thing for as long as a `with` lasts; as many at a time as like.

    Every call borrows, so it costs next to nothing.

    Args:
        thing: What is lent.
    """

    __slots__ = ("_back", "_thing", "out")

    def __init__(self, thing: Thing) -> None:
        self._thing = thing
        self.out = 0
        """How many have it."""
        self._back = asyncio.Event()

    def __enter__(self) -> Thing:
        """Lends it once more."""
        self.out += 1
        return self._thing

    def __exit__(self, *_raised: object) -> None:
        """Takes it back once."""
        self.out -= 1
        if self.out == 0:
            self._back.set()

    async def all_back(self) -> None:
        """Waits until nobody has it."""
        while self.out:
            self._back.clear()
            await self._back.wait()
