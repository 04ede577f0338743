import socket
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest

from llmproxy_grpc.server.descriptors import connections
from llmproxy_grpc.server.leaving import leave
from llmproxy_grpc.server.spreading import BLOCK_BITS, spread


def listeners(stack: ExitStack, number: int, host: str = "127.0.0.1") -> list[socket.socket]:
    """So many sockets that listen on one port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found: list[socket.socket] = []
    for _ in range(number):
        each = stack.enter_context(socket.socket(family))
        each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        each.bind((host, found[0].getsockname()[1] if found else 0))
        each.listen(512)
        each.setblocking(False)
        found.append(each)
    return found


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def accepted(stack: ExitStack, listener: socket.socket) -> list[int]:
    """The ports of those who have connected to a listener."""
    ports = []
    try:
        while True:
            connection, peer = listener.accept()
            stack.enter_context(connection)
            ports.append(peer[1])
    except BlockingIOError:
        return ports


@pytest.mark.parametrize("number", [2, 3])
def test_blocks_of_16_callers_ports_go_to_the_processes_in_turn(number):
    with ExitStack() as stack:
        processes = listeners(stack, number)
        port = processes[0].getsockname()[1]
        spread(port, number)
        for _ in range(120):
            stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        found = Counter()
        for index, process in enumerate(processes):
            ports = accepted(stack, process)
            assert {(each >> BLOCK_BITS) % number for each in ports} <= {index}
            found[index] = len(ports)
        assert found.total() == 120
        assert min(found.values()) >= 10


def test_while_a_process_is_away_the_others_get_its_connections():
    with ExitStack() as stack:
        processes = listeners(stack, 2)
        port = processes[0].getsockname()[1]
        spread(port, 2)
        processes[1].close()
        for _ in range(40):
            stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=5))
        assert len(accepted(stack, processes[0])) == 40


def test_a_port_that_nobody_listens_on_is_left_alone():
    spread(1, 2)


async def test_a_listener_that_leaves_takes_no_more_and_waits_for_what_it_has():
    with ExitStack() as stack:
        (leaving,) = listeners(stack, 1)
        port = leaving.getsockname()[1]
        stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        connection, _ = leaving.accept()
        stack.enter_context(connection)
        await leave([port], [], 0.0)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=5)
        connection.close()
        await leave([port], [], 60.0)


def test_looking_for_sockets_leaves_no_descriptor_behind(tmp_path):
    with ExitStack() as stack, (tmp_path / "file").open("w"):
        (listener,) = listeners(stack, 1)
        port = listener.getsockname()[1]
        before = descriptors()
        for _ in range(20):
            spread(port, 2)
            assert connections([port], []) == 0
        assert descriptors() == before
