"""An upstream of the kind `grpc` that answers by scripts, so that it can misbehave."""

from collections import deque
from contextlib import aclosing, asynccontextmanager

import grpc
import pytest
from google.protobuf.any_pb2 import Any as PackedAny
from google.rpc import error_details_pb2, status_pb2

from llmproxy_grpc import errors
from llmproxy_grpc._gen.v1 import chat_pb2
from llmproxy_grpc.config.schema import ProviderConfig
from llmproxy_grpc.providers.grpc_upstream import GrpcProvider
from tests.providers.conversations import ask, collected


def event(**kind):
    return chat_pb2.StreamResponse(**kind)


START = event(start={"id": "record-1"})
HELLO = event(delta={"text": "Hello"})
FINISH = event(finish={"finish_reason": "FINISH_REASON_STOP"})
END = event(end={"usage": {"input_tokens": 3, "total_tokens": 3, "source": "USAGE_SOURCE_PROVIDER"}})


class Upstream(grpc.GenericRpcHandler):
    """Answers each call with the next script: messages or bytes, something to wait for, a status to end with."""

    def __init__(self):
        self.scripts = deque()
        self.metadata = []
        self.requests = []

    def service(self, details):
        self.metadata.append(dict(details.invocation_metadata))
        if details.method.endswith("/Stream"):
            return grpc.unary_stream_rpc_method_handler(self._stream)
        return grpc.unary_unary_rpc_method_handler(self._unary)

    async def _stream(self, request, context):
        self.requests.append(request)
        for step in self.scripts.popleft():
            if isinstance(step, tuple):
                await context.abort(*step)
            elif callable(step):
                await step()
            await context.write(step if isinstance(step, bytes) else step.SerializeToString())

    async def _unary(self, request, context):
        self.requests.append(request)
        (step,) = self.scripts.popleft()
        if isinstance(step, tuple):
            await context.abort(*step)
        return step if isinstance(step, bytes) else step.SerializeToString()


def config(place, scheme="http", **fields):
    return ProviderConfig.model_validate({"name": "far", "kind": "grpc", "base_url": f"{scheme}://{place}", **fields})


@asynccontextmanager
async def upstream_and_provider(*scripts, **fields):
    upstream = Upstream()
    upstream.scripts.extend(scripts)
    upstream.server = server = grpc.aio.server()
    server.add_generic_rpc_handlers((upstream,))
    upstream.port = port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with aclosing(GrpcProvider.from_config(config(f"127.0.0.1:{port}", **fields), None)) as provider:
            yield upstream, provider
    finally:
        await server.stop(None)


async def streamed(*script):
    async with upstream_and_provider(script) as (_, provider):
        return await collected(provider.stream(ask(), "m"))


async def refused(script, **fields):
    """The error of a Chat."""
    async with upstream_and_provider([script], **fields) as (_, provider):
        with pytest.raises(errors.ProxyError) as raised:
            await provider.chat(ask(), "m")
    return raised.value


def rich(code, *details, message="In words."):
    """The arguments of an abort with a rich status."""
    status = status_pb2.Status(code=code.value[0], message=message)
    for detail in details:
        packed = PackedAny()
        packed.Pack(detail)
        status.details.append(packed)
    return code, message, (("grpc-status-details-bin", status.SerializeToString()),)


def info(reason, domain="llmproxy", **metadata):
    return error_details_pb2.ErrorInfo(reason=reason, domain=domain, metadata=metadata)
