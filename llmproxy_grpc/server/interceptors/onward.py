"""Notes what of a call goes on to the next proxy: its trace, and how many it has passed, which is bounded."""

import re
from collections.abc import Mapping
from typing import Final

from llmproxy_grpc.calls import HOPS_KEY, Call, current_call
from llmproxy_grpc.errors import LoopDetected
from llmproxy_grpc.server.rpc import Proceed, Rpc

MOST_HOPS: Final = 4
"""Proxies that a call may have passed. Chains are two or three long; every hop may try several targets, so the cost of
a ring grows by that factor with each."""

_HOPS: Final = re.compile(r"[0-9]{1,4}")
_PARENT: Final = "traceparent"
_TRACE: Final = {
    _PARENT: re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(?:-[!-~]{1,64})?"),
    "tracestate": re.compile(r"[ -~]{1,512}"),
}


async def onward(rpc: Rpc, proceed: Proceed) -> None:
    """Makes the call the current one; refuses one that goes in circles."""
    call, metadata = rpc.call, rpc.metadata
    if HOPS_KEY in metadata:
        _count_hops(call, _well_formed(metadata, HOPS_KEY, _HOPS))
    if _PARENT in metadata:
        call.trace = _trace(metadata)
    current_call.set(call)  # of this task alone: gRPC runs every handler in one of its own
    await proceed(rpc)


def _count_hops(call: Call, hops: str) -> None:
    call.hops = int(hops) if hops else 0
    if call.hops > MOST_HOPS:
        raise LoopDetected(
            f"The call has passed {call.hops} proxies, more than {MOST_HOPS}: some of them point at each other.",
            metadata={"hops": str(call.hops), "limit": str(MOST_HOPS)},
        )


def _trace(metadata: Mapping[str, str | bytes]) -> tuple[tuple[str, str], ...]:
    """The trace as it came; its state is nothing without its parent (W3C Trace Context, section 3.3)."""
    found = [(name, _well_formed(metadata, name, pattern)) for name, pattern in _TRACE.items()]
    return tuple((name, value) for name, value in found if value) if found[0][1] else ()


def _well_formed(metadata: Mapping[str, str | bytes], name: str, pattern: re.Pattern[str]) -> str:
    value = metadata.get(name, "")
    return value if isinstance(value, str) and pattern.fullmatch(value) else ""
