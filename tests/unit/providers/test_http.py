import asyncio
import gzip
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from llmproxy_grpc.errors import UpstreamProtocolError, UpstreamStreamBroken, UpstreamUnreachable
from llmproxy_grpc.providers.http import HttpClient, HttpResponse
from tests.fakes.faulty_upstream import Answer, Do, FaultyUpstream, Framing, openai_stream
from tests.fakes.relay import Relay, Way

HEADERS = {"authorization": "Bearer test-key", "content-type": "application/json"}
LIMIT = 1024 * 1024


@pytest.fixture
async def upstream() -> AsyncIterator[FaultyUpstream]:
    async with FaultyUpstream() as upstream:
        yield upstream


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    client = HttpClient(connect_timeout=2)
    yield client
    await client.aclose()


async def ask(client: HttpClient, url: str, body: bytes | None = b"{}", method: str = "POST") -> bytes:
    async with client.request(method, url, headers=HEADERS, body=body) as response:
        return await response.read(LIMIT)


async def take(response: HttpResponse, received: list[bytes]) -> None:
    while chunk := await response.chunk():
        received.append(chunk)


async def chunks(response: HttpResponse) -> list[bytes]:
    received: list[bytes] = []
    await take(response, received)
    return received


async def gone(upstream: FaultyUpstream, number: int = 0) -> None:
    async with asyncio.timeout(0.1):
        await upstream.requests[number].closed.wait()


# What is sent.


async def test_a_request_carries_its_headers_and_body_and_asks_for_no_compression(client, upstream):
    async with client.request("POST", f"{upstream.url}/v1/chat?x=a%20b", headers=HEADERS, body=b'{"a":1}') as response:
        assert response.status == 200
        assert response.content_type == "application/json"
        assert response.headers["CONTENT-TYPE"] == response.headers["content-type"]
        await response.read(LIMIT)
    (request,) = upstream.requests
    assert (request.method, request.path, request.body) == ("POST", "/v1/chat?x=a%20b", b'{"a":1}')
    assert request.headers["host"] == f"127.0.0.1:{upstream.port}"
    assert request.headers["authorization"] == "Bearer test-key"
    assert request.headers["accept-encoding"] == "identity"
    assert request.headers["content-length"] == "7"
    assert "cookie" not in request.headers


async def test_an_endpoint_sends_many_requests_with_headers_of_their_own(client, upstream):
    endpoint = client.endpoint("POST", f"{upstream.url}/v1", headers=HEADERS)
    for number in range(3):
        async with endpoint.send(b"%d" % number, headers={"traceparent": f"t{number}"}) as response:
            await response.read(LIMIT)
    assert [request.body for request in upstream.requests] == [b"0", b"1", b"2"]
    assert [request.headers["traceparent"] for request in upstream.requests] == ["t0", "t1", "t2"]
    assert upstream.connections == 1


async def test_given_headers_win_over_the_defaults_in_any_case(client, upstream):
    headers = {"User-Agent": "mine", "ACCEPT": "text/event-stream", "Host": "example.test"}
    async with client.request("GET", upstream.url, headers=headers) as response:
        await response.read(LIMIT)
    (request,) = upstream.requests
    assert request.headers["user-agent"] == "mine"
    assert request.headers["accept"] == "text/event-stream"
    assert request.headers["host"] == "example.test"
    assert "content-length" not in request.headers
    assert request.path == "/"


async def test_a_post_without_a_body_says_that_it_has_none(client, upstream):
    await ask(client, upstream.url, body=None)
    await ask(client, upstream.url, body=b"")
    assert [request.headers["content-length"] for request in upstream.requests] == ["0", "0"]


async def test_a_user_in_the_address_becomes_basic_authorization(client, upstream):
    url = upstream.url.replace("//", "//user:test-key@")
    async with client.request("GET", url, headers={}) as response:
        await response.read(LIMIT)
    assert upstream.requests[0].headers["authorization"].startswith("Basic ")


async def test_a_large_body_arrives_whole(client, upstream):
    body = bytes(range(256)) * 32768
    await ask(client, upstream.url, body=body)
    assert upstream.requests[0].body == body


@pytest.mark.parametrize(
    ("name", "value"),
    [("x", "a\r\nb: c"), ("x", "a\nb"), ("x", "\0"), ("a b", "c"), ("", "c"), ("x:", "c"), ("ä", "c")],
)
async def test_a_header_that_would_smuggle_another_is_refused(client, upstream, name, value):
    with pytest.raises(ValueError):
        client.endpoint("POST", upstream.url, headers={name: value})
    endpoint = client.endpoint("POST", upstream.url, headers={})
    with pytest.raises(ValueError):
        endpoint.send(b"", headers={name: value})
    assert upstream.requests == []


@pytest.mark.parametrize("url", ["", "/v1", "ftp://127.0.0.1/", "http://", "127.0.0.1:80"])
async def test_an_address_that_is_none_is_refused(client, url):
    with pytest.raises(ValueError):
        client.endpoint("POST", url, headers={})


# What comes back.


@pytest.mark.parametrize("framing", Framing)
@pytest.mark.parametrize("chop", [0, 1, 7])
async def test_a_body_comes_whole_in_every_framing(client, upstream, framing, chop):
    upstream.script(Answer(body=[b"Hello, ", b"world"], framing=framing, chop=chop))
    assert await ask(client, upstream.url) == b"Hello, world"


async def test_a_stream_gives_each_piece_as_soon_as_it_comes(client, upstream):
    upstream.script(Answer.stream([b"one", Do.STALL, b"two"]))
    async with client.request("POST", upstream.url, headers=HEADERS, body=b"{}") as response:
        assert await response.chunk() == b"one"
        upstream.release()
        assert await response.chunk() == b"two"
        assert await response.chunk() == b""
        assert await response.chunk() == b""


async def test_a_line_longer_than_any_buffer_is_no_trouble(client, upstream):
    line = b"data: " + b"x" * 2_000_000 + b"\n\n"
    upstream.script(Answer.stream([line]))
    async with client.request("POST", upstream.url, headers=HEADERS, body=b"{}") as response:
        assert b"".join(await chunks(response)) == line


async def test_an_empty_body_is_empty(client, upstream):
    upstream.script(Answer(status=204, framing=Framing.CLOSE), Answer(body=[]))
    assert await ask(client, upstream.url) == b""
    assert await ask(client, upstream.url) == b""


@pytest.mark.parametrize("status", [200, 201, 400, 401, 404, 429, 500, 529, 599])
async def test_a_status_of_success_or_failure_is_given_as_it_is(client, upstream, status):
    upstream.script(Answer.json(b"{}", status=status, headers={"Retry-After": "3"}))
    async with client.request("POST", upstream.url, headers=HEADERS, body=b"{}") as response:
        assert response.status == status
        assert response.headers["retry-after"] == "3"
        assert await response.read(LIMIT) == b"{}"


async def test_an_interim_answer_is_passed_over(client, upstream):
    final = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
    upstream.script(
        Answer(raw=[b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + final])
    )
    assert await ask(client, upstream.url) == b"ok"


@pytest.mark.parametrize("content_type", ["", "Text/Event-Stream; charset=utf-8", "text/event-stream"])
async def test_the_content_type_is_lower_case_without_parameters(client, upstream, content_type):
    upstream.script(Answer(headers={"content-type": content_type} if content_type else {}))
    async with client.request("POST", upstream.url, headers=HEADERS) as response:
        assert response.content_type == ("text/event-stream" if content_type else "")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308, 304])
async def test_a_redirect_is_an_error_and_is_never_followed(client, upstream, status):
    async with FaultyUpstream() as elsewhere:
        upstream.script(Answer(status=status, headers={"location": elsewhere.url}))
        with pytest.raises(UpstreamProtocolError) as caught:
            await ask(client, upstream.url)
        assert caught.value.fault.http_status == status
        assert elsewhere.requests == []
    await gone(upstream)


async def test_cookies_are_not_kept(client, upstream):
    upstream.script(Answer.json(b"{}", headers={"set-cookie": "a=b"}))
    await ask(client, upstream.url)
    await ask(client, upstream.url)
    assert "cookie" not in upstream.requests[1].headers


@pytest.mark.parametrize("framing", Framing)
async def test_an_answer_beyond_the_limit_is_an_error_and_its_connection_is_closed(client, upstream, framing):
    upstream.script(
        Answer(body=[b"x" * 5000, Do.STALL] if framing is not Framing.LENGTH else [b"x" * 5000], framing=framing)
    )
    async with client.request("POST", upstream.url, headers=HEADERS) as response:
        with pytest.raises(UpstreamProtocolError):
            await response.read(4999)


async def test_an_answer_of_the_limit_is_none(client, upstream):
    upstream.script(Answer(body=[b"x" * 5000]))
    async with client.request("POST", upstream.url, headers=HEADERS) as response:
        assert len(await response.read(5000)) == 5000


async def test_an_answer_compressed_unasked_is_decoded_within_the_limit(client, upstream):
    bomb = gzip.compress(bytes(64 * 1024 * 1024))
    encoding = {"content-encoding": "gzip"}
    upstream.script(Answer.json(gzip.compress(b"{}"), headers=encoding), Answer.json(bomb, headers=encoding))
    assert await ask(client, upstream.url) == b"{}"
    with pytest.raises(UpstreamProtocolError):
        await ask(client, upstream.url)


async def test_a_compression_that_breaks_is_a_protocol_error(client, upstream):
    upstream.script(Answer.json(b"not gzip at all", headers={"content-encoding": "gzip"}))
    with pytest.raises(UpstreamProtocolError):
        await ask(client, upstream.url)


# What goes wrong.

GARBAGE = [
    b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"HTTP/1.1 abc OK\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nx: " + b"y" * 200_000 + b"\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nbad header line\r\n\r\n",
    b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
]


@pytest.mark.parametrize("garbage", GARBAGE)
async def test_garbage_in_place_of_an_answer_is_a_protocol_error(client, upstream, garbage):
    upstream.script(Answer(raw=[garbage, Do.STALL]))
    with pytest.raises(UpstreamProtocolError):
        await ask(client, upstream.url)
    await gone(upstream)
    assert len(upstream.requests) == 1


async def test_a_chunk_that_is_none_is_an_error_whatever_came_before(client, upstream):
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    upstream.script(Answer(raw=[head + b"3\r\nabc\r\nzz\r\n", Do.STALL]))
    with pytest.raises((UpstreamProtocolError, UpstreamStreamBroken)):
        await ask(client, upstream.url)
    await gone(upstream)


@pytest.mark.parametrize("end", [Do.EOF, Do.RESET])
@pytest.mark.parametrize("framing", [Framing.CHUNKED, Framing.LENGTH])
async def test_what_came_before_a_break_is_given_before_the_error(client, upstream, end, framing):
    pieces = openai_stream(["Hel", "lo"])
    upstream.script(Answer(body=[pieces[0], pieces[1], 0.01, end], framing=framing, length=9999))
    async with client.request("POST", upstream.url, headers=HEADERS) as response:
        received: list[bytes] = []
        with pytest.raises(UpstreamStreamBroken) as caught:
            await take(response, received)
    assert b"".join(received) == pieces[0] + pieces[1]
    assert caught.value.fault.http_status == 200


async def test_what_came_together_with_the_break_is_not_lost(client, upstream):
    upstream.script(Answer(body=[b"abc", Do.STALL, b"def", Do.EOF], framing=Framing.CHUNKED))
    async with client.request("POST", upstream.url, headers=HEADERS) as response:
        assert await response.chunk() == b"abc"
        upstream.release()
        await upstream.requests[0].closed.wait()
        await asyncio.sleep(0.01)
        assert await response.chunk() == b"def"
        with pytest.raises(UpstreamStreamBroken):
            await response.chunk()


async def test_a_body_that_breaks_while_read_whole_is_an_error(client, upstream):
    upstream.script(Answer(body=[b'{"half":', Do.EOF], length=100))
    with pytest.raises(UpstreamStreamBroken):
        await ask(client, upstream.url)


async def test_a_refused_connection_is_unreachable(client):
    async with FaultyUpstream() as upstream:
        url = upstream.url
    with pytest.raises(UpstreamUnreachable) as caught:
        await ask(client, url)
    assert str(upstream.port) not in caught.value.message


async def test_a_name_that_does_not_resolve_is_unreachable(client):
    with pytest.raises(UpstreamUnreachable):
        await ask(client, "http://nowhere.invalid/")


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


@pytest.mark.parametrize("end", [Do.EOF, Do.RESET])
async def test_no_answer_on_a_fresh_connection_is_an_error_and_never_repeated(client, upstream, end):
    upstream.script(Answer(before_head=[end]))
    with pytest.raises(UpstreamProtocolError):
        await ask(client, upstream.url)
    assert len(upstream.requests) == 1


# The pool.


async def test_an_answer_read_to_its_end_gives_its_connection_back(client, upstream):
    upstream.default = Answer.stream(openai_stream("Hello"))
    for _ in range(3):
        async with client.request("POST", upstream.url, headers=HEADERS) as response:
            await chunks(response)
    assert upstream.connections == 1


async def test_an_answer_whose_end_came_unread_with_its_last_piece_gives_it_back_too(client, upstream):
    piece = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    upstream.default = Answer(raw=[piece])
    for _ in range(2):
        async with client.request("POST", upstream.url, headers=HEADERS) as response:
            assert await response.chunk() == b"abc"
    assert upstream.connections == 1


async def test_an_answer_left_unread_closes_its_connection_at_once(client, upstream):
    upstream.script(Answer.stream([b"one", Do.STALL]))
    async with client.request("POST", upstream.url, headers=HEADERS) as response:
        assert await response.chunk() == b"one"
    await gone(upstream)


async def test_a_connection_that_the_provider_ends_is_not_used_again(client, upstream):
    upstream.script(Answer.json(b"{}", headers={"connection": "close"}))
    await ask(client, upstream.url)
    await ask(client, upstream.url)
    assert upstream.connections == 2


@pytest.mark.parametrize("end", [Do.EOF, Do.RESET])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_reused_connection_that_closes_without_a_byte_is_repeated_once_on_a_fresh_one(
    client, upstream, end, method
):
    upstream.close_on_reuse = end
    await ask(client, upstream.url, method=method)
    answer = await ask(client, upstream.url, body=b"[2]", method=method)
    assert answer.startswith(b"{")
    assert [request.body for request in upstream.requests] == [b"{}", b"[2]", b"[2]"]
    assert [request.connection for request in upstream.requests] == [1, 1, 2]


async def test_the_repetition_is_never_repeated(client, upstream):
    await ask(client, upstream.url)
    upstream.script(Answer(before_head=[Do.EOF]), Answer(before_head=[Do.EOF]))
    with pytest.raises(UpstreamProtocolError):
        await ask(client, upstream.url)
    assert [request.connection for request in upstream.requests] == [1, 1, 2]


async def test_the_repetition_takes_no_other_idle_connection(client, upstream):
    upstream.script(Answer(before_head=[Do.STALL]), Answer(before_head=[Do.STALL]))
    upstream.close_on_reuse = Do.EOF
    both = asyncio.gather(ask(client, upstream.url), ask(client, upstream.url))
    await upstream.arrived(2)
    upstream.release()
    await both
    await ask(client, upstream.url)
    used = [request.connection for request in upstream.requests]
    assert set(used[:2]) == {1, 2}
    assert used[2] in (1, 2)
    assert used[3] == 3


async def test_an_answer_that_began_is_never_repeated(client, upstream):
    await ask(client, upstream.url)
    upstream.script(Answer(raw=[b"HTTP/1.1 200 OK\r\ncontent-", 0.01, Do.EOF]))
    with pytest.raises(UpstreamProtocolError):
        await ask(client, upstream.url)
    assert len(upstream.requests) == 2


async def test_bytes_that_nobody_asked_for_never_answer_the_next_request(client, upstream):
    unasked = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nwrong"
    upstream.script(Answer(body=[b"right"], after=[0.005, unasked]))
    assert await ask(client, upstream.url) == b"right"
    await asyncio.sleep(0.05)
    upstream.script(Answer(body=[b"right"]))
    assert await ask(client, upstream.url) == b"right"
    assert upstream.connections == 2


async def test_an_early_answer_to_a_body_still_being_sent_leaves_no_half_request_behind(client):
    async with FaultyUpstream() as upstream, Relay(upstream.port) as relay:
        url = f"http://127.0.0.1:{relay.port}"
        await ask(client, url)
        relay.hold(Way.TO_SERVER)
        task = asyncio.create_task(ask(client, url, body=bytes(32 * 1024 * 1024)))
        await asyncio.sleep(0.05)
        (connection,) = upstream._open
        connection._transport.write(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\n{}")
        assert await task == b"{}"
        relay.resume()
        assert (await ask(client, url)).startswith(b"{")
        assert upstream.connections == 2


async def test_max_connections_makes_calls_wait_for_their_turn_and_time_out_unreachable(upstream):
    client = HttpClient(connect_timeout=0.1, max_connections=1)
    upstream.script(Answer(before_head=[Do.STALL]))
    first = asyncio.create_task(ask(client, upstream.url))
    await upstream.arrived()
    with pytest.raises(UpstreamUnreachable):
        await ask(client, upstream.url)
    upstream.release()
    await first
    await ask(client, upstream.url)
    assert upstream.connections == 1
    await client.aclose()


# Cancellation.


@pytest.mark.parametrize(
    "answer",
    [
        Answer(before_head=[Do.STALL]),
        Answer(body=[Do.STALL], length=100),
        Answer.stream([b"one", Do.STALL]),
        Answer(body=[b"half", Do.STALL], length=100),
    ],
    ids=["before the head", "before the body", "in a stream", "in a body"],
)
async def test_cancelling_closes_the_connection_at_once(client, upstream, answer):
    upstream.script(answer)
    task = asyncio.create_task(ask(client, upstream.url))
    await upstream.arrived()
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await gone(upstream)
    assert client._connector._acquired == set()


async def test_cancelling_a_request_still_being_sent_closes_at_once():
    client = HttpClient(connect_timeout=2)
    async with FaultyUpstream() as upstream, Relay(upstream.port) as relay:
        relay.hold()
        task = asyncio.create_task(ask(client, f"http://127.0.0.1:{relay.port}", body=bytes(32 * 1024 * 1024)))
        await asyncio.sleep(0.05)
        (client_side,) = [proto.transport for proto in client._connector._acquired]
        assert client_side.get_write_buffer_size() > 0
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0)
        assert client_side.get_write_buffer_size() == 0
    await client.aclose()


async def test_cancelling_while_connecting_leaves_nothing_open():
    client = HttpClient(connect_timeout=2)
    async with FaultyUpstream() as upstream, Relay(upstream.port) as relay:
        relay.hold()
        task = asyncio.create_task(ask(client, f"https://127.0.0.1:{relay.port}"))
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert client._connector._acquired == set()
    await client.aclose()


async def test_after_many_cancelled_calls_every_place_of_the_pool_is_free(upstream):
    client = HttpClient(connect_timeout=2, max_connections=8)
    upstream.handler = lambda _: Answer(before_head=[Do.STALL])
    for _ in range(20):
        tasks = [asyncio.create_task(ask(client, upstream.url)) for _ in range(16)]
        await asyncio.sleep(0.002)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    upstream.handler = None
    answers = await asyncio.gather(*(ask(client, upstream.url) for _ in range(16)))
    assert len(answers) == 16
    await client.aclose()


async def test_closing_the_client_breaks_what_is_still_read(upstream):
    client = HttpClient(connect_timeout=2)
    upstream.script(Answer.stream([b"one", Do.STALL]))
    async with client.request("POST", upstream.url, headers=HEADERS) as response:
        assert await response.chunk() == b"one"
        await client.aclose()
        with pytest.raises(UpstreamStreamBroken):
            await response.chunk()
    await gone(upstream)
    with pytest.raises(UpstreamUnreachable):
        await ask(client, upstream.url)
    await client.aclose()


@pytest.mark.parametrize("answer", [Answer(before_head=[Do.STALL]), Answer.stream([b"one", Do.STALL])])
async def test_closing_the_client_wakes_whoever_waits_for_an_answer(upstream, answer):
    client = HttpClient(connect_timeout=2)
    upstream.script(answer)
    task = asyncio.create_task(ask(client, upstream.url))
    await upstream.arrived()
    await asyncio.sleep(0.01)
    await client.aclose()
    async with asyncio.timeout(0.1):
        with pytest.raises((UpstreamStreamBroken, UpstreamProtocolError, UpstreamUnreachable)):
            await task


# Other ways to connect.


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
