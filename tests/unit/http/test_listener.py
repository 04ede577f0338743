import asyncio
from contextlib import asynccontextmanager

import pytest
from structlog.testing import capture_logs

from llmproxy_grpc.http.app import application
from llmproxy_grpc.http.listener import HttpListener
from tests.fakes.http import get


@asynccontextmanager
async def listening(address, *, ready=lambda: True):
    listener = HttpListener(application(render_metrics=lambda: b"up 1\n", ready=ready))
    try:
        yield await listener.start(address)
    finally:
        await listener.aclose()


async def test_port_0_becomes_the_port_that_was_bound():
    async with listening("127.0.0.1:0") as address:
        assert not address.endswith(":0")
        assert await get(address, "/livez") == (200, "ok\n")


async def test_a_unix_socket_serves(tmp_path):
    async with listening(f"unix:{tmp_path}/http.sock") as address:
        assert address == f"unix:{tmp_path}/http.sock"
        assert await get(address, "/livez") == (200, "ok\n")


async def test_nothing_listens_once_it_is_closed(tmp_path):
    for wanted in ("127.0.0.1:0", f"unix:{tmp_path}/http.sock"):
        async with listening(wanted) as address:
            pass
        with pytest.raises((ConnectionRefusedError, FileNotFoundError)):
            await get(address, "/livez")


async def test_a_socket_left_behind_is_replaced(tmp_path):
    for _ in range(2):
        async with listening(f"unix:{tmp_path}/http.sock") as address:
            assert (await get(address, "/livez"))[0] == 200


async def test_an_address_that_is_taken_is_refused():
    async with listening("127.0.0.1:0") as address:
        with pytest.raises(OSError, match="in use"):
            async with listening(address):
                pass
        assert (await get(address, "/livez"))[0] == 200


async def test_a_socket_in_a_folder_that_is_none_is_refused(tmp_path):
    with pytest.raises(OSError, match=r"there is no folder .*/nowhere"):
        async with listening(f"unix:{tmp_path}/nowhere/http.sock"):
            pass


async def test_a_file_that_is_no_socket_is_left_alone(tmp_path):
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(OSError, match="in use"):
        async with listening(f"unix:{file}"):
            pass
    assert file.read_text() == "mine"


async def test_the_socket_of_a_live_server_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "http.sock"
    first, second = (HttpListener(application(render_metrics=bytes, ready=bool)) for _ in range(2))
    await first.start(f"unix:{path}")
    with pytest.raises(OSError, match="in use"):
        await second.start(f"unix:{path}")
    await second.aclose()
    assert (await get(f"unix:{path}", "/"))[0] == 404
    await first.aclose()
    assert not path.exists()


async def test_what_is_no_http_is_answered_and_leaves_no_trace_in_the_log(capfd):
    async with listening("127.0.0.1:0") as address:
        host, _, port = address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        with capture_logs() as logs:
            writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")  # as a gRPC client begins
            assert b" 400 " in await reader.readline()
        writer.close()
    assert logs == []
    assert capfd.readouterr().err == ""


async def test_a_failure_of_ours_is_one_line_without_its_text(capfd):
    def fail():
        raise LookupError("secret")

    listener = HttpListener(application(render_metrics=fail, ready=lambda: True))
    with capture_logs() as logs:
        assert (await get(await listener.start("127.0.0.1:0"), "/metrics"))[0] == 500
    await listener.aclose()
    assert [(line["event"], line["exception"]) for line in logs] == [("http_request_failed", "LookupError")]
    assert "secret" not in str(logs)
    assert capfd.readouterr().err == ""
