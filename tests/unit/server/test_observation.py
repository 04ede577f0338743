from datetime import UTC, datetime

import pytest
from structlog.testing import capture_logs

from llmproxy_grpc._gen.v1 import chat_pb2
from llmproxy_grpc.calls import ANONYMOUS, Call, CallObserver
from llmproxy_grpc.server.interceptors.observation import Observation
from llmproxy_grpc.server.rpc import Method, Rpc


class Failing(CallObserver):
    def call_ended(self, call, outcome):
        raise OSError("secret")


class Remembering(CallObserver):
    def __init__(self):
        self.codes = []

    def call_ended(self, call, outcome):
        self.codes.append(outcome.code)


async def proceed(_rpc):
    return


def rpc(**metadata):
    call = Call("id", "Chat", "request", ANONYMOUS, datetime.now(UTC), 0.0, 1.0)
    return Rpc(Method("Chat", chat_pb2.ChatRequest), None, b"", call, metadata)


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ("0", 0),
        ("1", 1),
        ("9", 9),
        ("x", 0),
        ("-1", 0),
        ("", 0),
        ("²", 0),
        (b"1", 0),
        ("9" * 9, 999_999_999),
        ("9" * 50, 0),
    ],
)
async def test_how_often_the_callers_library_has_tried_is_read_if_it_is_a_number(sent, read):
    repeated = rpc(**{"grpc-previous-rpc-attempts": sent})
    await Observation([])(repeated, proceed)
    assert repeated.call.previous_attempts == read


async def test_an_observer_that_fails_neither_fails_the_call_nor_keeps_the_others_from_it():
    told = Remembering()
    with capture_logs() as logs:
        await Observation([Failing(), told])(rpc(), proceed)
    assert told.codes == ["OK"]
    assert [entry["event"] for entry in logs] == ["observer_failed"]
    assert "secret" not in str(logs)
