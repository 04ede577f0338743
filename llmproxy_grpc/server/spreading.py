"""Spreads new connections evenly over the processes that share a port.

The kernel chooses by a hash, as by tossing a coin: of 40 connections to two processes one gets more than 24 each
seventh time. But the ports of one caller's connections come one after the other, 2 to 16 apart, so that blocks of 16
ports taken in turn spread them nearly evenly; those of many callers fall as by the hash. A filter that says so needs no
privilege, and holds for every socket of the port, those that come later too.
"""

import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from llmproxy_grpc.server.descriptors import Instruction, Program, listeners

SO_ATTACH_REUSEPORT_CBPF: Final = 51
NETWORK_HEADER: Final = 0xFFF00000
PROTOCOL: Final = 0xFFFFF000
"""Offsets of the kernel's for what lies outside of the payload."""
IPV4: Final = 0x0800
BLOCK_BITS: Final = 4


def spread(port: int, processes: int) -> None:
    """Has new connections to a port that this process listens on spread over so many; else the kernel's hash holds.

    An answer beyond the sockets that are there, while a process is away, falls back to the hash as well.
    """
    program = Program(_instructions(processes))
    for listener in listeners(port):
        # Not Linux, or not allowed here: the hash spreads less evenly, and that is all.
        with listener, suppress(OSError):
            listener.setsockopt(socket.SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, program.address)


def _instructions(processes: int) -> Sequence[Instruction]:
    """The caller's port in blocks, modulo the processes."""
    return (
        (0x28, 0, 0, PROTOCOL),  # load a half-word: which protocol
        (0x15, 0, 2, IPV4),  # IPv4: go on, else skip two
        (0x28, 0, 0, NETWORK_HEADER + 20),  # the port of the sender behind IPv4's header
        (0x05, 0, 0, 1),  # skip one
        (0x28, 0, 0, NETWORK_HEADER + 40),  # the same behind IPv6's
        (0x74, 0, 0, BLOCK_BITS),  # shift right
        (0x94, 0, 0, processes),  # modulo
        (0x16, 0, 0, 0),  # the answer
    )
