"""Chat: answers a conversation in one message."""

from llmproxy_grpc._gen.v1 import chat_pb2
from llmproxy_grpc.server.request import RouterLease, accept
from llmproxy_grpc.server.rpc import Rpc
from llmproxy_grpc.server.trailers import send_trailers
from llmproxy_grpc.server.writing import write_answer


class ChatServicer:
    """Serves Chat."""

    def __init__(self, lend_router: RouterLease) -> None:
        self._lend_router = lend_router

    async def chat(self, request: chat_pb2.ChatRequest, rpc: Rpc) -> chat_pb2.ChatResponse:
        """Answers one request."""
        call = rpc.call
        accepted = await accept(request, call)
        with self._lend_router() as router:
            answer = await router.chat(call, accepted)
        response = await write_answer(answer, call)
        # Of an answer, unlike of its call, the usage is always known: an estimate at least.
        send_trailers(rpc, with_target=True, usage=response.usage)
        return response
