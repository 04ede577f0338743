import pytest

from tests.unit.providers.http.exchange import HEADERS, LIMIT, ask


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
