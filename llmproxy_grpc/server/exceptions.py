"""What may be kept of an exception: its type and places, never its text, nor the frames that hold a request."""


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
