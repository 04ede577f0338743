"""CountTokens: says how long a prompt is before anybody pays for it."""

from typing import Final

from llmproxy_grpc._gen.v1 import model_pb2
from llmproxy_grpc.errors import FieldViolation
from llmproxy_grpc.messages import UsageSource
from llmproxy_grpc.server.request import RouterLease, accept, invalid
from llmproxy_grpc.server.rpc import Rpc
from llmproxy_grpc.server.trailers import send_trailers
from llmproxy_grpc.wire.response import fill_warnings
from llmproxy_grpc.wire.scalars import count, number

CHAT: Final = "chat."


class CountTokensServicer:
    """Serves CountTokens."""

    def __init__(self, lend_router: RouterLease) -> None:
        self._lend_router = lend_router

    async def count_tokens(self, request: model_pb2.CountTokensRequest, rpc: Rpc) -> model_pb2.CountTokensResponse:
        """Answers one request; the trailers name the target only if that has counted."""
        if not request.HasField("chat"):
            raise invalid([FieldViolation("chat", "Required: the prompt to count.")])
        accepted = await accept(request.chat, rpc.call, prefix=CHAT)
        with self._lend_router() as router:
            counted = await router.count_tokens(rpc.call, accepted)
        send_trailers(rpc, with_target=counted.source is UsageSource.PROVIDER)
        answer = model_pb2.CountTokensResponse(input_tokens=count(counted.input_tokens), source=number(counted.source))
        fill_warnings(answer.warnings, rpc.call.warnings)
        return answer
