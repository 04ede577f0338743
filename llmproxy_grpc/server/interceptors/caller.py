"""Puts a frozen Caller into every call: without authentication always the same one, with every scope."""

from llmproxy_grpc.calls import ANONYMOUS
from llmproxy_grpc.server.rpc import Proceed, Rpc


async def caller(rpc: Rpc, proceed: Proceed) -> None:
    """Sets who calls."""
    rpc.call.caller = ANONYMOUS
    await proceed(rpc)
