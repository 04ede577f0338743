"""Server-sent events out of a stream of bytes, however the network splits it."""

import re
from codecs import BOM_UTF8

from msgspec import Struct

from llmproxy_grpc.errors import UpstreamProtocolError

_MAX_EVENT_BYTES = 16 * 1024 * 1024
_MAX_BARE_BYTES = 64 * 1024
_EVENTS = re.compile(rb"^data: ([^\r\n]*)\n\n", re.MULTILINE)
_AROUND = len(b"data: \n\n")


class ServerSentEvent(Struct, frozen=True, gc=False):
    """One event: its name, empty if it has none, and its data lines joined by line feeds."""

    event: str
    data: bytes


class SseReader:
    r"""Cuts one stream of bytes into events; lines end with \n, \r\n or \r.

    The time it takes is linear in the bytes, even if one long line comes in tiny pieces.

    Args:
        max_event_bytes: How long one event's data or one line may be.
        keep_bare_json: Whether lines that are no fields and begin as JSON are an event when the stream ends, of at most
            64 KiB: some vendors break off a stream by an error that is no event.
    """

    __slots__ = (
        "_bare",
        "_bare_size",
        "_between_events",
        "_data",
        "_event",
        "_keep_bare",
        "_line",
        "_line_size",
        "_max",
        "_opening",
        "_size",
        "_skip_line_feed",
        "held",
    )

    def __init__(self, *, max_event_bytes: int = _MAX_EVENT_BYTES, keep_bare_json: bool = False) -> None:
        self._max = max_event_bytes
        self._opening: bytes | None = b""
        self._between_events = False
        self._skip_line_feed = False
        self._line: list[bytes] = []
        self._line_size = 0
        self._event = ""
        self._data: list[bytes] = []
        self._size = 0
        self._keep_bare = keep_bare_json
        self._bare: list[bytes] = []
        self._bare_size = 0
        self.held = 0
        """Bytes of an event whose end has not come."""

    def feed(self, chunk: bytes) -> list[ServerSentEvent]:
        """Takes the next bytes and gives the events that they complete.

        Raises:
            UpstreamProtocolError: An event or a line is too long.
        """
        if self._between_events:
            events = _plain_events(chunk.replace(b"\r\n", b"\n") if chunk.endswith(b"\r\n") else chunk, self._max)
            if events is not None:
                return events
        events = self._read(chunk)
        self._between_events = self._opening is None and not (
            self._skip_line_feed or self._line or self._data or self._event
        )
        self.held = self._line_size + self._size
        return events

    def close(self) -> list[ServerSentEvent]:
        """Ends the stream: an event whose blank line never came is given if it has data, complete or not."""
        events: list[ServerSentEvent] = []
        self._take_line(b"".join(self._line), events)
        self._line.clear()
        self._take_line(b"", events)
        if self._bare:
            events.append(ServerSentEvent("", b"\n".join(self._bare)))
            self._bare.clear()
        return events

    def _read(self, chunk: bytes) -> list[ServerSentEvent]:
        chunk = self._with_plain_line_ends(chunk if self._opening is None else self._without_bom(chunk))
        end = chunk.rfind(b"\n") + 1
        if end == 0:
            self._keep(chunk)
            return []
        lines = b"".join((*self._line, chunk[: end - 1]))
        self._line.clear()
        self._line_size = 0
        self._keep(chunk[end:])
        events: list[ServerSentEvent] = []
        for line in lines.split(b"\n"):
            self._take_line(line, events)
        return events

    def _without_bom(self, chunk: bytes) -> bytes:
        opening = (self._opening or b"") + chunk
        if len(opening) < len(BOM_UTF8) and BOM_UTF8.startswith(opening):
            self._opening = opening
            return b""
        self._opening = None
        return opening.removeprefix(BOM_UTF8)

    def _with_plain_line_ends(self, chunk: bytes) -> bytes:
        if self._skip_line_feed and chunk:
            self._skip_line_feed = False
            chunk = chunk.removeprefix(b"\n")
        if b"\r" not in chunk:
            return chunk
        self._skip_line_feed = chunk.endswith(b"\r")
        return chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _keep(self, piece: bytes) -> None:
        """Keeps a piece of a line whose end has not come."""
        if not piece:
            return
        self._line_size += len(piece)
        if self._line_size > self._max:
            raise _too_long()
        self._line.append(piece)

    def _take_line(self, line: bytes, events: list[ServerSentEvent]) -> None:
        if not line:
            if self._data:
                events.append(ServerSentEvent(self._event, b"\n".join(self._data)))
                self._data.clear()
            self._event = ""
            self._size = 0
            return
        if len(line) > self._max:
            raise _too_long()
        name, _, value = line.partition(b":")
        if name == b"data":
            value = value.removeprefix(b" ")
            self._size += len(value) + 1
            if self._size > self._max:
                raise _too_long()
            self._data.append(value)
        elif name == b"event":
            self._event = value.removeprefix(b" ").decode("utf-8", "replace")
        elif self._keep_bare and (self._bare or line.startswith((b"{", b"["))):
            self._bare_size += len(line)
            if self._bare_size <= _MAX_BARE_BYTES:
                self._bare.append(line)


def _plain_events(chunk: bytes, limit: int) -> list[ServerSentEvent] | None:
    """The events, if the bytes are nothing but events of one line of data each, as they nearly always are."""
    if len(chunk) > limit:
        return None
    if chunk.count(b"\n") == 2 and chunk.startswith(b"data: ") and chunk.endswith(b"\n\n") and b"\r" not in chunk:
        return [ServerSentEvent("", chunk[6:-2])]
    found = _EVENTS.findall(chunk)
    if sum(map(len, found)) + _AROUND * len(found) != len(chunk):
        return None
    return [ServerSentEvent("", data) for data in found]


def _too_long() -> UpstreamProtocolError:
    return UpstreamProtocolError("The provider sent an event that is too long.")
