"""Embed: turns inputs into vectors."""

from llmproxy_grpc._gen.v1 import embed_pb2
from llmproxy_grpc.server.request import RouterLease, accept_embed
from llmproxy_grpc.server.rpc import Rpc
from llmproxy_grpc.server.status import describe
from llmproxy_grpc.server.trailers import send_trailers
from llmproxy_grpc.wire import from_embed_response


class EmbedServicer:
    """Serves Embed."""

    def __init__(self, lend_router: RouterLease) -> None:
        self._lend_router = lend_router

    async def embed(self, request: embed_pb2.EmbedRequest, rpc: Rpc) -> embed_pb2.EmbedResponse:
        """Answers one request."""
        call = rpc.call
        accepted = await accept_embed(request, call)
        with self._lend_router() as router:
            response = await router.embed(call, accepted)
        send_trailers(rpc, with_target=True)
        return from_embed_response(response, call, describe=describe)
