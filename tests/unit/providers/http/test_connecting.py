import asyncio
import ssl
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from llmproxy_grpc.errors import ProxyOverloaded, UpstreamUnreachable
from llmproxy_grpc.providers.http import HttpClient
from tests.fakes.faulty_upstream import Answer, Do, FaultyUpstream
from tests.fakes.files import no_files
from tests.fakes.relay import Relay
from tests.unit.providers.http.exchange import HEADERS, ask, gone


async def test_a_refused_connection_is_unreachable(client):
    async with FaultyUpstream() as upstream:
        url = upstream.url
    with pytest.raises(UpstreamUnreachable) as caught:
        await ask(client, url)
    assert str(upstream.port) not in caught.value.message


async def test_a_name_that_does_not_resolve_is_unreachable(client):
    with pytest.raises(UpstreamUnreachable):
        await ask(client, "http://nowhere.invalid/")


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9/", "https://[::1]:9/", "http://localhost:9/", "http://no.invalid/"]
)
async def test_files_that_the_proxy_has_run_out_of_are_its_own_affair(client, url):
    await asyncio.to_thread(int)  # the thread that resolves names
    with no_files(), pytest.raises(ProxyOverloaded) as caught:
        await ask(client, url)
    assert caught.value.retry_after == 1.0


async def test_so_are_those_for_a_unix_socket(tmp_path):
    client = HttpClient(connect_timeout=2, unix_path=str(tmp_path / "socket"))
    with no_files(), pytest.raises(ProxyOverloaded):
        await ask(client, "http://embedded/")
    await client.aclose()


async def test_a_tls_handshake_that_stalls_ends_at_the_connect_timeout():
    client = HttpClient(connect_timeout=0.1)
    async with FaultyUpstream() as upstream, Relay(upstream.port) as relay:
        relay.hold()
        with pytest.raises(UpstreamUnreachable):
            await ask(client, f"https://127.0.0.1:{relay.port}")
    await client.aclose()


async def test_plain_text_behind_https_is_unreachable(client):
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await reader.read()
        writer.close()

    async with await asyncio.start_server(speak, "127.0.0.1", 0) as server:
        with pytest.raises(UpstreamUnreachable, match="TLS"):
            await ask(client, f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}")


async def test_a_unix_socket_is_another_way_to_the_same_server(tmp_path):
    path = str(tmp_path / "socket")
    client = HttpClient(connect_timeout=2, unix_path=path)
    async with FaultyUpstream(unix_path=path) as upstream:
        assert (await ask(client, "http://embedded/v1/chat")).startswith(b"{")
        assert upstream.requests[0].path == "/v1/chat"
        assert upstream.requests[0].headers["host"] == "embedded"
    with pytest.raises(UpstreamUnreachable):
        await ask(client, "http://embedded/v1/chat")
    await client.aclose()


async def test_a_certificate_counts_only_if_it_is_trusted(tmp_path):
    certificate, key = self_signed()
    (tmp_path / "key.pem").write_bytes(key)
    (tmp_path / "certificate.pem").write_bytes(certificate)
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(tmp_path / "certificate.pem", tmp_path / "key.pem")
    trusting = HttpClient(connect_timeout=2, tls=ssl.create_default_context(cadata=certificate.decode()))
    wary = HttpClient(connect_timeout=2)
    async with FaultyUpstream(tls=served) as upstream:
        url = upstream.url.replace("127.0.0.1", "localhost")
        assert (await ask(trusting, url)).startswith(b"{")
        with pytest.raises(UpstreamUnreachable, match="certificate"):
            await ask(wary, url)
        with pytest.raises(UpstreamUnreachable, match="certificate"):
            await ask(trusting, upstream.url)
        upstream.script(Answer.stream([b"one", Do.STALL]))
        async with trusting.request("POST", url, headers=HEADERS) as response:
            assert await response.chunk() == b"one"
        await gone(upstream, -1)
        await trusting.aclose()
        await wary.aclose()


def self_signed() -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return certificate.public_bytes(pem), private
