from datetime import UTC, datetime

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


async def test_an_observer_that_fails_neither_fails_the_call_nor_keeps_the_others_from_it():
    call = Call("id", "Chat", "request", ANONYMOUS, datetime.now(UTC), 0.0, 1.0)
    rpc = Rpc(Method("Chat", chat_pb2.ChatRequest), None, b"", call, {})
    told = Remembering()
    with capture_logs() as logs:
        await Observation([Failing(), told])(rpc, proceed)
    assert told.codes == ["OK"]
    assert [entry["event"] for entry in logs] == ["observer_failed"]
    assert "secret" not in str(logs)
