from datetime import UTC, datetime

import pytest

from llmproxy_grpc._gen.v1 import chat_pb2
from llmproxy_grpc.calls import Call, Caller
from llmproxy_grpc.server.interceptors.caller import caller
from llmproxy_grpc.server.rpc import Method, Rpc

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def rpc(metadata=()):
    call = Call("id", "Chat", "request", Caller("somebody", "key", frozenset()), NOON, 0.0, 1.0)
    return Rpc(Method("Chat", chat_pb2.ChatRequest), None, b"", call, dict(metadata))


async def seen_behind(metadata=()):
    """Who calls, as what comes behind the interceptor sees it."""
    seen = []

    async def remember(passed):
        seen.append(passed.call.caller)

    await caller(rpc(metadata), remember)
    (found,) = seen
    return found


async def test_without_authentication_every_call_is_the_default_tenants_with_every_scope():
    found = await seen_behind()
    assert (found.tenant, found.key_id) == ("default", "")
    assert found.scopes == {"export", "health", "admin"}


async def test_nothing_that_a_caller_sends_makes_it_somebody_else():
    assert await seen_behind({"authorization": "Bearer test-key", "x-tenant": "other"}) == await seen_behind()


async def test_nobody_can_change_who_calls():
    found = await seen_behind()
    for name, value in (("tenant", "other"), ("key_id", "other"), ("scopes", frozenset())):
        with pytest.raises(AttributeError):
            setattr(found, name, value)
    assert isinstance(found.scopes, frozenset)


async def test_what_comes_behind_is_called_once_and_its_error_passes():
    async def fail(_rpc):
        raise RuntimeError("behind")

    with pytest.raises(RuntimeError, match="behind"):
        await caller(rpc(), fail)
