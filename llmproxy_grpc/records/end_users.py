"""How the ids of end users are kept: as they are, or as a keyed hash that nobody can undo without the folder's key."""

import secrets
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Final

from llmproxy_grpc.records.places import made_once

KEY_BYTES: Final = 32
DIGEST_BYTES: Final = 16

Forms = Callable[[str], tuple[str, ...]]
"""Gives the forms in which an end user's id may have been kept."""


class EndUsers:
    """Gives the form in which an end user's id is kept, and those by which it is found again.

    Args:
        key: Of the hash; None where ids have never been hashed.
        hashes: Whether ids are hashed now.
    """

    def __init__(self, key: bytes | None = None, *, hashes: bool = True) -> None:
        self._key = key
        self.hashes = hashes and key is not None

    def kept(self, end_user: str) -> str:
        """The id as it is kept now; none stays none."""
        return self.forms(end_user)[-1] if self.hashes and end_user else end_user

    def forms(self, end_user: str) -> tuple[str, ...]:
        """The id in each form in which it may have been kept: as it is, and as a hash if ids were ever hashed."""
        if self._key is None:
            return as_it_is(end_user)
        return end_user, blake2b(end_user.encode(), digest_size=DIGEST_BYTES, key=self._key).hexdigest()


def as_it_is(end_user: str) -> tuple[str, ...]:
    """The one form of an id where none was ever hashed."""
    return (end_user,)


def end_users(key_file: Path, *, hashes: bool) -> EndUsers:
    """The end users of a folder, by its key; one that is there is used to find ids even if none are hashed now.

    Raises:
        OSError: The key can neither be read nor be made.
    """
    return EndUsers(read_key(key_file) if hashes or key_file.exists() else None, hashes=hashes)


def read_key(path: Path) -> bytes:
    """The key of a folder; made if there is none, by whoever comes first.

    Raises:
        OSError: It can neither be read nor be made.
    """
    return made_once(path, secrets.token_bytes(KEY_BYTES))
