"""Chat: answers a conversation in one message."""

from llmproxy_grpc._gen.v1 import chat_pb2
from llmproxy_grpc.aside import MANY, aside
from llmproxy_grpc.messages import ProviderResponse
from llmproxy_grpc.server.request import RouterLease, accept
from llmproxy_grpc.server.rpc import Rpc
from llmproxy_grpc.server.status import describe
from llmproxy_grpc.server.trailers import send_trailers
from llmproxy_grpc.wire import from_response


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
        if _is_long(answer):
            response = await aside(from_response, answer, call, describe=describe)
        else:
            response = from_response(answer, call, describe=describe)
        # Of an answer, unlike of its call, the usage is always known: an estimate at least.
        send_trailers(rpc, with_target=True, usage=response.usage)
        return response


def _is_long(answer: ProviderResponse) -> bool:
    """Whether an answer has so many pieces that it is written aside: log probabilities are the most of all."""
    return any(len(each.logprobs) + len(each.message.parts) > MANY for each in answer.candidates)
