"""Lists that come in pages, as most providers give that of their models."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar
from urllib.parse import quote

MOST_PAGES: Final = 20
"""Pages that are asked for: most providers put a thousand entries on one."""
MOST_ENTRIES: Final = 10_000
"""A longer list is cut: the largest gateways name some hundreds of models."""

T = TypeVar("T")


async def all_pages(ask: Callable[[str], Awaitable[tuple[Sequence[T], str]]]) -> list[T]:
    """What stands on all pages, in their order.

    Args:
        ask: Asks for one page by its mark, empty for the first; gives what stands on it, and the mark of the next
            page, empty behind the last. What it raises ends the list.
    """
    entries: list[T] = []
    mark = ""
    for _ in range(MOST_PAGES):
        page, mark = await ask(mark)
        entries += page
        if not mark or len(entries) >= MOST_ENTRIES:
            break
    return entries[:MOST_ENTRIES]


def marked(path: str, parameter: str, mark: str) -> str:
    """The path of a page: that of the first, which has a query, with the mark behind it if there is one."""
    return f"{path}&{parameter}={quote(mark, safe='')}" if mark else path
