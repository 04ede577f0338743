"""What the proxy itself has run out of when it cannot connect: no fault of a provider's."""

import errno
import os
import socket
from typing import Final

from llmproxy_grpc.errors import ProxyOverloaded

_RETRY_AFTER: Final = 1.0
_RUN_OUT: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL})
"""Files, memory, and addresses: ports of our own, from which to connect to the same server."""


def is_ours(error: BaseException | None) -> bool:
    """Whether connecting failed because the proxy itself has run out of something."""
    if isinstance(error, socket.gaierror):
        return no_file_is_left()
    return isinstance(error, OSError) and error.errno in _RUN_OUT


def no_file_is_left() -> bool:
    """Tries: who resolves names may say that there is no such name, or no server of names, if it can open no file."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        return error.errno in _RUN_OUT
    return False


def shortage() -> ProxyOverloaded:
    """Makes the error that this is."""
    return ProxyOverloaded(
        "The proxy has no file, memory or address left for another connection.", retry_after=_RETRY_AFTER
    )
