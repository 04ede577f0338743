"""Which versions of the SQLite library are fit: none that can corrupt a file which several connections write to."""

from typing import Final

from llmproxy_grpc.records.store import StoreUnfit

FIRST_FLAWED: Final = (3, 7, 0)
FIRST_MENDED: Final = (3, 51, 3)
BACKPORTS: Final = {(3, 44): 6, (3, 50): 7}
"""Patch levels of older releases that are mended as well."""


def check_library(version: str) -> None:
    """Refuses a library with the write-ahead log's reset flaw: two connections at once can corrupt the file.

    Args:
        version: As SQLite tells it, such as `3.54.1`.

    Raises:
        StoreUnfit: Says which version would do.
    """
    numbers = tuple(int(number) for number in version.split(".")[:3])
    if not FIRST_FLAWED <= numbers < FIRST_MENDED:
        return
    patch = BACKPORTS.get((numbers[0], numbers[1]))
    if patch is not None and numbers >= (numbers[0], numbers[1], patch):
        return
    raise StoreUnfit(
        f"the SQLite library is {version}, which can corrupt a database that several connections use; "
        "3.51.3 or newer is needed (or 3.50.7, or 3.44.6): install a newer apsw"
    )
