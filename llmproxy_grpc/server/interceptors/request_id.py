"""Gives every call its correlation id: the caller's x-request-id if it is well formed, else one of ours."""

import re
from typing import Final

from llmproxy_grpc.server.rpc import Proceed, Rpc

WELL_FORMED: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")


async def request_id(rpc: Rpc, proceed: Proceed) -> None:
    """Sets the id, and sends it back in the trailers."""
    wanted = rpc.metadata.get("x-request-id", "")
    rpc.call.request_id = wanted if isinstance(wanted, str) and WELL_FORMED.fullmatch(wanted) else rpc.call.id
    rpc.context.set_trailing_metadata((("x-request-id", rpc.call.request_id),))
    await proceed(rpc)
