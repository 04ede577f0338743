import socket
from contextlib import closing

import pytest

from llmproxy_grpc.config.addresses import TcpAddress
from llmproxy_grpc.workers.places import Places
from llmproxy_grpc.workers.ports import Addresses, HeldPort


def bound(port: int, *, sharing: bool) -> socket.socket:
    """Binds as a server would; the caller closes it."""
    server = socket.socket()
    try:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(sharing))
        server.bind(("127.0.0.1", port))
        server.listen()
    except OSError:
        server.close()
        raise
    return server


def test_a_held_port_is_for_workers_and_for_nobody_else():
    with closing(HeldPort(TcpAddress("127.0.0.1", 0))) as held:
        with pytest.raises(OSError, match="in use"):
            bound(held.port, sharing=False)
        with pytest.raises(OSError, match="in use"):
            HeldPort(TcpAddress("127.0.0.1", held.port))
        with bound(held.port, sharing=True), bound(held.port, sharing=True), pytest.raises(OSError, match="in use"):
            HeldPort(TcpAddress("127.0.0.1", held.port))
    bound(held.port, sharing=False).close()


def test_no_connection_comes_to_the_holder():
    with closing(HeldPort(TcpAddress("127.0.0.1", 0))) as held:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", held.port))
        with bound(held.port, sharing=True) as worker:
            for _ in range(20):
                socket.create_connection(("127.0.0.1", held.port)).close()
                worker.accept()[0].close()


def test_a_taken_port_is_named():
    with bound(0, sharing=True) as other:
        port = other.getsockname()[1]
        with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{port}: is it in use"):
            HeldPort(TcpAddress("127.0.0.1", port))


def test_a_name_is_held_at_one_port_of_all_its_addresses():
    with closing(HeldPort(TcpAddress("localhost", 0))) as held:
        assert held.port > 0
        assert held.address == f"localhost:{held.port}"


def test_port_0_is_one_port_for_all_workers_and_stays_it_when_they_are_replaced():
    places = [Places(("127.0.0.1:0", f"unix:/tmp/none-{number}")) for number in range(2)]
    before = Addresses(places)
    assert before.of(0).grpc[0] == before.of(1).grpc[0] != "127.0.0.1:0"
    assert (before.of(0).grpc[1], before.of(1).grpc[1]) == ("unix:/tmp/none-0", "unix:/tmp/none-1")
    after = Addresses([*places, Places(("unix:/tmp/none-2",), health="127.0.0.1:0", admin="127.0.0.1:0")], before)
    assert after.of(0) == before.of(0)
    others = after.of(2)
    assert len({others.health, others.admin, after.of(0).grpc[0]}) == 3
    before.close(but=after)
    port = int(after.of(0).grpc[0].rpartition(":")[2])
    with pytest.raises(OSError, match="in use"):
        bound(port, sharing=False)
    after.close()
    bound(port, sharing=False).close()


def test_when_one_address_cannot_be_had_none_is_kept():
    with bound(0, sharing=True) as other, bound(0, sharing=False) as free:
        port = free.getsockname()[1]
        free.close()
        with pytest.raises(OSError, match="cannot listen"):
            Addresses([Places((f"127.0.0.1:{port}", f"127.0.0.1:{other.getsockname()[1]}"))])
        bound(port, sharing=False).close()


def test_the_path_of_a_live_server_is_refused(tmp_path):
    with socket.socket(socket.AF_UNIX) as live:
        live.bind(str(tmp_path / "s"))
        live.listen()
        with pytest.raises(OSError, match="in use"):
            Addresses([Places((f"unix:{tmp_path / 's'}",))])
