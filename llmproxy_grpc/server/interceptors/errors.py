"""Outermost: answers every failure with a rich status of ours, and lets no exception text reach a caller."""

import asyncio
from contextlib import suppress
from typing import Final

import grpc
import structlog

from llmproxy_grpc.errors import InternalError, ProxyError
from llmproxy_grpc.exceptions import anonymous, forget_frames
from llmproxy_grpc.server.rpc import Proceed, Rpc
from llmproxy_grpc.server.status import RichStatus, code_of, rich_status

log = structlog.get_logger(__name__)

FAILED: Final = "The proxy failed; its log has the request id."


async def errors(rpc: Rpc, proceed: Proceed) -> None:
    """Maps what the rest raises; the only place that catches Exception."""
    try:
        await proceed(rpc)
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise  # the caller left: nobody is there to be answered
        # Nobody cancelled us, so a cancelled future leaked in here. Without an answer the caller would hang.
        error: ProxyError = InternalError(FAILED)
        log.error("cancelled_without_cause", request_id=rpc.call.request_id, method=rpc.method.name)
    except grpc.aio.AbortError:
        raise
    except ProxyError as raised:
        error = raised
        forget_frames(error)
    except Exception as exception:  # noqa: BLE001 - the one place that must: grpc.aio sends the text of any other
        error = InternalError(FAILED)
        log.error("bug", request_id=rpc.call.request_id, method=rpc.method.name, **anonymous(exception))
    else:
        return
    if rpc.last_words is not None:
        # The status has to leave, whatever becomes of the words: without one the caller would hang.
        with suppress(Exception):
            await rpc.last_words(error)
    with suppress(grpc.aio.InternalError):  # the caller has left meanwhile
        await rpc.context.abort_with_status(_status(error, rpc))  # type: ignore[arg-type]  # a NamedTuple is one


def _status(error: ProxyError, rpc: Rpc) -> RichStatus:
    """The rich status; a bare one if it cannot be built, for grpc.aio would send that exception's text."""
    try:
        return rich_status(error, rpc.call)
    except Exception as exception:  # noqa: BLE001 - as above
        log.error("bug", request_id=rpc.call.request_id, method=rpc.method.name, **anonymous(exception))
        return RichStatus(code_of(error), error.reason, (("x-request-id", rpc.call.request_id),))
