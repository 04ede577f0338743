import gzip

import pytest

from llmproxy_grpc.errors import UpstreamProtocolError
from tests.fakes.faulty_upstream import Answer, Do, FaultyUpstream, Framing
from tests.unit.providers.http.exchange import HEADERS, LIMIT, ask, chunks, gone


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
