"""One upstream over a real connection: what each request alone has sent comes back in none of its errors."""

import pytest

from llmproxy_grpc.providers.upstream import Upstream
from tests.fakes.faulty_upstream import Answer

OLD, NEW = "test-token-of-before", "test-token-of-now"
BAD = b'{"error":{"message":"bad %b","type":"invalid_request_error"}}'


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


@pytest.mark.parametrize("status", [400, 200])
async def test_an_older_requests_token_is_in_no_error_after_it_was_renewed(upstream, http, status):
    wire = Upstream(http, upstream.url)
    upstream.script(*(Answer.json(BAD % token.encode(), status=status) for token in (OLD, NEW)))
    async with wire.post("/x", b"{}", headers=bearer(OLD)) as first:
        async with wire.post("/x", b"{}", headers=bearer(NEW)) as second:
            errors = [await failure_of(wire, second)]
        errors.append(await failure_of(wire, first))
    for error in errors:
        assert error.fault.message.startswith("bad ")
        assert OLD not in error.fault.message
        assert NEW not in error.fault.message
    assert http._reading == set()


async def test_an_error_that_is_read_after_its_answer_has_no_token_either(upstream, http):
    wire = Upstream(http, upstream.url)
    upstream.script(Answer.json(BAD % OLD.encode()))
    async with wire.post("/x", b"{}", headers=bearer(OLD)) as response:
        data, failed = await wire.read(response, bytes), wire.failed(response)
    assert OLD not in failed(data).fault.message


async def failure_of(wire, response):
    if response.status == 200:
        return await wire.read(response, wire.failed(response))
    return await wire.failure(response)
