"""Paths of unix sockets: a stale one is taken over, a live one never, and only our own is removed at the end."""

import socket
import stat
from pathlib import Path

from llmproxy_grpc.config.addresses import UNIX


def cannot_listen(key: str, address: str, why: str = "is it in use, or not allowed?") -> OSError:
    """The error of a listener that cannot have its address.

    Args:
        key: Of the configuration, such as `grpc.listen`.
        address: That it was to listen on.
        why: What is in the way, as far as is known.
    """
    way = "another path" if address.startswith(UNIX) else "another address, such as 127.0.0.1:0 for any free port"
    return OSError(f"{key}: cannot listen on {address}: {why} End what has it, or set {key} to {way}")


class SocketPath:
    """The path of one listener's socket. Listeners themselves would take the path of a live server as well.

    Args:
        path: Where callers find it.
        key: Of the configuration, for the error.
        succeeds: Whether it takes the place of a live server of ours: it is bound beside it and moved over it, so that
            there is no moment without a listener.

    Raises:
        OSError: A live server has the path, or its folder is not there.
    """

    def __init__(self, path: Path, *, key: str, succeeds: bool = False) -> None:
        self._path = path
        self._inode: int | None = None
        self.at = path.with_name(f"{path.name}.new") if succeeds else path
        """Where the listener binds it."""
        if not path.parent.is_dir():
            raise OSError(f"{key}: cannot listen on {UNIX}{path}: there is no folder {path.parent}; make it")
        if succeeds:
            return
        if not path.exists() or not stat.S_ISSOCK(path.stat().st_mode):
            return
        if _answers(path):
            raise cannot_listen(key, f"{UNIX}{path}", "it is in use.")
        path.unlink()

    def bound(self) -> None:
        """The listener has bound it; the socket there is ours."""
        self._inode = self.at.stat().st_ino
        if self.at != self._path:
            self.at.rename(self._path)

    def release(self) -> None:
        """Removes the socket, unless it is gone, or a server that came after us has put its own there."""
        if self._inode is not None and self._path.exists() and self._path.stat().st_ino == self._inode:
            self._path.unlink()


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(0)  # a live server may be too busy to accept
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:
            return True
    return True
