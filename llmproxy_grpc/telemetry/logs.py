"""Structured logs on standard error: one line a call, never a prompt, never a key."""

import logging
import select
import sys
from collections.abc import Callable, Container
from functools import partial
from typing import Any, BinaryIO, Final, Literal, TextIO, cast

import msgspec
import structlog

from llmproxy_grpc.calls import Call, CallObserver, Outcome
from llmproxy_grpc.errors import ProxyOverloaded

PIECE: Final = 1024
"""Bytes, or characters of at most four bytes, that a pipe takes at once if it takes any: 4,096 bytes, on Linux."""
ENCODER: Final = msgspec.json.Encoder(enc_hook=str)


def configure(
    log_format: Literal["json", "console"], level: str, stream: TextIO = sys.stderr, *, worker: int | None = None
) -> None:
    """Sets up structlog for the process: lines of JSON, or coloured text for people; with a worker's number in each."""
    threshold = logging.getLevelNamesMapping()[level.upper()]
    shared: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if worker is not None:
        shared.append(partial(_number, worker))
    if log_format == "json":
        structlog.configure(
            processors=[*shared, _render_json],
            wrapper_class=structlog.make_filtering_bound_logger(threshold),
            logger_factory=structlog.BytesLoggerFactory(cast(BinaryIO, Sink(stream.buffer))),
            cache_logger_on_first_use=True,
        )
        return
    structlog.configure(
        processors=[*shared, structlog.dev.ConsoleRenderer(colors=stream.isatty())],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.WriteLoggerFactory(cast(TextIO, Sink(stream))),
        cache_logger_on_first_use=True,
    )


class Sink:
    """Where lines go: one that cannot be written, to a full disk or a pipe that nobody reads, is dropped.

    A call must not fail because its line cannot be written, nor a drain; and nothing waits for a collector of logs that
    has stopped reading, which would hold up the event loop and all that is on it.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._takes = _takes(stream)
        self._torn = False

    def write(self, line: Any) -> None:
        """Writes a line with its end, or drops it, or the rest of a long one."""
        try:
            if self._torn:
                line = line[-1:] + line  # ends what broke off, so that this one stands by itself
            if len(line) <= PIECE:
                if self._takes(0):
                    self._stream.write(line)
                    self._torn = False
                return
            for start in range(0, len(line), PIECE):
                if not self._takes(0):
                    return
                self._stream.write(line[start : start + PIECE])
                self._stream.flush()
                self._torn = start + PIECE < len(line)
        except (OSError, ValueError):
            pass

    def flush(self) -> None:
        """Lets what is written go."""
        try:  # noqa: SIM105 - `suppress` costs four calls, and every call writes a line
            self._stream.flush()
        except (OSError, ValueError):
            pass


def _takes(stream: Any) -> Callable[[int], object]:
    """Tells whether a stream takes a piece at once, or fails at once, within so many milliseconds."""
    try:
        descriptor = stream.fileno()
    except (AttributeError, OSError, ValueError):
        return lambda _: True
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return poll.poll


class CallLog(CallObserver):
    """A CallObserver that writes one line for each call when it ends.

    The fields are chosen here, one by one: nothing of a request's content, labels or metadata is among them.

    Args:
        recorded: Methods whose calls become records; the lines of the others have no record's id.
    """

    def __init__(self, recorded: Container[str]) -> None:
        self._recorded = recorded
        # Bound once: unbound, the logger is made anew for every line.
        self._log = structlog.get_logger("llmproxy.call").bind()

    def call_ended(self, call: Call, outcome: Outcome) -> None:
        """Writes the line."""
        fields: dict[str, object] = {"request_id": call.request_id}
        if call.method in self._recorded:
            fields["record_id"] = call.id
        fields.update(method=call.method, code=outcome.code, duration=round(outcome.duration, 6))
        if outcome.reason:
            fields["reason"] = outcome.reason
        if isinstance(outcome.error, ProxyOverloaded):
            fields["why"] = printable(outcome.error.message)  # ours alone: a limit, the memory, files, the disk
        if call.model:
            fields["model"] = printable(call.model[:128])
        if call.provider:
            fields.update(provider=call.provider, upstream_model=call.upstream_model[:128], attempts=len(call.attempts))
        failed = [
            f"{attempt.provider}:{attempt.error.reason}" for attempt in call.attempts if attempt.error is not None
        ]
        if failed:
            fields["failed"] = failed
        if call.first_output_at is not None:
            fields["first_output"] = round(call.first_output_at - call.started_at, 6)
        if call.usage is not None:
            fields.update(input_tokens=call.usage.input_tokens, output_tokens=call.usage.output_tokens)
            if call.usage.cost is not None:
                fields.update(cost=call.usage.cost.amount_nanos / 1e9, currency=call.usage.cost.currency_code)
        self._log.info("call", **fields)


def printable(text: str) -> str:
    """A caller's text, which may hold anything, as a terminal can show it."""
    return text if text.isprintable() else ascii(text)


def _number(worker: int, _logger: object, _name: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    event.setdefault("worker", worker)
    return event


def _render_json(_logger: object, _name: str, event: structlog.typing.EventDict) -> bytes:
    return ENCODER.encode(event)
