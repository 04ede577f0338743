"""What an exception says of its call, and what may be kept of it: never its text, nor frames that hold a request."""

import asyncio

from llmproxy_grpc.errors import CallerCancelled, InternalError, ProxyError


def verdict(raised: BaseException) -> ProxyError:
    """How a call ended that ended with this exception: as it says itself, by its caller's leaving, or by our fault."""
    if isinstance(raised, ProxyError):
        return raised
    if isinstance(raised, asyncio.CancelledError):
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            return CallerCancelled("The caller left.")
    return InternalError("The proxy failed.")


def anonymous(exception: BaseException) -> dict[str, object]:
    """An exception's type and places, without its text, which may hold a prompt or a key."""
    frames = []
    trace = exception.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        frames.append(f"{code.co_filename}:{trace.tb_lineno} {code.co_name}")
        trace = trace.tb_next
    return {"exception": type(exception).__qualname__, "frames": frames}


def forget_frames(error: BaseException) -> None:
    """Cuts an error from the frames that it came through.

    They hold the request, and some of them hold the error: such a circle keeps the whole request until the garbage
    collector comes by, which a few large requests do not make it do.
    """
    seen: BaseException | None = error
    while seen is not None:
        seen.__traceback__ = None
        following = seen.__cause__ or seen.__context__
        seen.__cause__ = seen.__context__ = None
        seen = following
