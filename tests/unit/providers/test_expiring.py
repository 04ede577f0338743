"""Credentials that expire: fetched once for all who wait, in time, and used while they hold."""

import asyncio
import socket
import ssl
import threading

import pytest

from llmproxy_grpc.errors import (
    CredentialsRejected,
    ProxyError,
    ProxyOverloaded,
    UpstreamRateLimited,
    UpstreamServerError,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from llmproxy_grpc.providers.expiring import EARLY, Expiring
from llmproxy_grpc.providers.token_trouble import Absent


class Source:
    """Gives a credential that holds for an hour, or fails."""

    def __init__(self) -> None:
        self.time = 0.0
        self.fetched = 0
        self.failing = False
        self.failure: Exception = LookupError("refused: test-secret")
        self.threads: set[int] = set()

    def fetch(self) -> tuple[str, float]:
        self.fetched += 1
        self.threads.add(threading.get_ident())
        if self.failing:
            raise self.failure
        return f"test-token-{self.fetched}", self.time + 3600

    def expiring(self) -> Expiring[str]:
        return Expiring(self.fetch, now=lambda: self.time)


async def test_many_who_wait_get_one_credential_fetched_off_the_loop():
    source = Source()
    expiring = source.expiring()
    assert set(await asyncio.gather(*(expiring.get() for _ in range(20)))) == {"test-token-1"}
    assert source.fetched == 1
    assert threading.get_ident() not in source.threads


async def test_one_who_leaves_takes_nothing_from_the_others():
    source = Source()
    expiring = source.expiring()
    leaving = asyncio.create_task(expiring.get())
    staying = asyncio.create_task(expiring.get())
    await asyncio.sleep(0)
    leaving.cancel()
    assert await staying == "test-token-1"


async def test_a_credential_is_fetched_anew_before_its_end():
    source = Source()
    expiring = source.expiring()
    await expiring.get()
    source.time = 3600 - EARLY - 1
    assert await expiring.get() == "test-token-1"
    source.time = 3600 - EARLY
    assert await expiring.get() == "test-token-2"


async def test_an_old_credential_serves_until_its_end_where_no_new_one_is_to_be_had():
    source = Source()
    expiring = source.expiring()
    await expiring.get()
    source.failing, source.time = True, 3600 - EARLY
    assert await expiring.get() == "test-token-1"
    assert await expiring.get() == "test-token-1"
    assert source.fetched == 2, "nobody asks again at once"
    source.time = 3600
    with pytest.raises(CredentialsRejected):
        await expiring.get()
    source.failing = False
    source.time = 3700
    assert await expiring.get() == "test-token-4"


async def test_without_any_credential_the_next_caller_asks_again():
    source = Source()
    source.failing = True
    expiring = source.expiring()
    for _ in range(2):
        with pytest.raises(CredentialsRejected):
            await expiring.get()
    source.failing = False
    assert await expiring.get() == "test-token-3"


def caused_by(cause: BaseException | None, *, said: bool = True) -> Exception:
    """What a library makes of a failure: its own error, raised from the failure or while it was handled."""
    error = RuntimeError("no token: test-secret")
    if said:
        error.__cause__ = cause
    else:
        error.__context__ = cause
    return error


def answered(status: int) -> Exception:
    error = RuntimeError("no token: test-secret")
    error.status_code = status  # type: ignore[attr-defined]
    return error


def kept(inner: Exception) -> Exception:
    error = RuntimeError("no token: test-secret")
    error.inner_exception = inner  # type: ignore[attr-defined]
    return error


def answered_aws(status: int) -> Exception:
    error = RuntimeError("no token: test-secret")
    error.response = {"ResponseMetadata": {"HTTPStatusCode": status}}  # type: ignore[attr-defined]
    return error


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (ConnectionRefusedError("no"), UpstreamUnreachable),
        (caused_by(ConnectionResetError("no")), UpstreamUnreachable),
        (caused_by(socket.gaierror(-2, "no such name"), said=False), UpstreamUnreachable),
        (caused_by(ssl.SSLError("no")), UpstreamUnreachable),
        (caused_by(caused_by(OSError(101, "Network is unreachable"))), UpstreamUnreachable),
        (caused_by(kept(caused_by(ConnectionRefusedError("no")))), UpstreamUnreachable),
        (caused_by(OSError(24, "Too many open files")), ProxyOverloaded),
        (TimeoutError("slow"), UpstreamTimeout),
        (caused_by(TimeoutError("slow"), said=False), UpstreamTimeout),
        (answered(503), UpstreamServerError),
        (answered_aws(500), UpstreamServerError),
        (answered(429), UpstreamRateLimited),
        (answered(400), CredentialsRejected),
        (answered_aws(403), CredentialsRejected),
        (FileNotFoundError(2, "no such file"), CredentialsRejected),
        (caused_by(PermissionError(13, "not yours")), CredentialsRejected),
        (caused_by(None), CredentialsRejected),
        (ValueError("test-secret"), CredentialsRejected),
    ],
)
async def test_trouble_on_the_way_to_a_token_is_no_refusal(failure, kind):
    source = Source()
    source.failing, source.failure = True, failure
    expiring = source.expiring()
    for _ in range(2):
        with pytest.raises(ProxyError) as caught:
            await expiring.get()
        assert type(caught.value) is kind
        assert "test-secret" not in repr(caught.value)
        assert caught.value.__cause__ is None
        assert caught.value.retryable is (kind is not CredentialsRejected)


async def test_what_was_wrong_last_is_what_is_told():
    source = Source()
    source.failing, source.failure = True, ConnectionRefusedError()
    expiring = source.expiring()
    with pytest.raises(UpstreamUnreachable):
        await expiring.get()
    source.failure = answered(400)
    with pytest.raises(CredentialsRejected):
        await expiring.get()


async def test_what_is_absent_was_never_there_unless_it_was():
    source = Source()
    source.failing, source.failure = True, Absent("none")
    expiring = source.expiring()
    with pytest.raises(CredentialsRejected):
        await expiring.get()
    source.failing = False
    await expiring.get()
    source.failing, source.time = True, 3600
    with pytest.raises(UpstreamUnreachable):
        await expiring.get()
    source.failure, source.time = RuntimeError("refused"), 3700
    with pytest.raises(CredentialsRejected):
        await expiring.get()


async def test_a_cause_that_was_set_aside_does_not_count():
    source = Source()
    failure = RuntimeError("refused")
    failure.__context__, failure.__suppress_context__ = TimeoutError(), True
    source.failing, source.failure = True, failure
    with pytest.raises(CredentialsRejected):
        await source.expiring().get()


async def test_causes_that_go_in_a_circle_end():
    source = Source()
    first, second = RuntimeError("a"), RuntimeError("b")
    first.__cause__, second.__cause__ = second, first
    source.failing, source.failure = True, first
    with pytest.raises(CredentialsRejected):
        await source.expiring().get()
