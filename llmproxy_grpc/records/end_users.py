"""How the ids of end users are kept: as they are, or as a keyed hash that nobody can undo without the folder's key."""

import os
import secrets
from hashlib import blake2b
from pathlib import Path
from typing import Final

KEY_BYTES: Final = 32
DIGEST_BYTES: Final = 16


class EndUsers:
    """Gives the form in which an end user's id is kept, and by which it is found again.

    Args:
        key: Of the hash; None keeps ids as they are.
    """

    def __init__(self, key: bytes | None = None) -> None:
        self._key = key

    @property
    def hashes(self) -> bool:
        """Whether ids are hashed."""
        return self._key is not None

    def kept(self, end_user: str) -> str:
        """The id as it is kept; none stays none."""
        if self._key is None or not end_user:
            return end_user
        return blake2b(end_user.encode(), digest_size=DIGEST_BYTES, key=self._key).hexdigest()


def read_key(path: Path) -> bytes:
    """The key of a folder; made if there is none, by whichever process comes first.

    Raises:
        OSError: It can neither be read nor be made.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(secrets.token_bytes(KEY_BYTES))
    try:
        os.link(fresh, path)
    except FileExistsError:
        pass
    finally:
        fresh.unlink()
    return path.read_bytes()
