"""JSON documents, one a line, out of a stream of bytes, however the network splits it."""

from llmproxy_grpc.errors import UpstreamProtocolError

_MAX_LINE_BYTES = 16 * 1024 * 1024


class LineReader:
    """Cuts one stream of bytes into its lines that are not blank.

    The time it takes is linear in the bytes, even if one long line comes in tiny pieces.

    Args:
        max_line_bytes: How long one line may be.
    """

    __slots__ = ("_max", "_pieces", "_size")

    def __init__(self, *, max_line_bytes: int = _MAX_LINE_BYTES) -> None:
        self._max = max_line_bytes
        self._pieces: list[bytes] = []
        self._size = 0

    @property
    def held(self) -> int:
        """Bytes of a line whose end has not come."""
        return self._size

    def feed(self, chunk: bytes) -> list[bytes]:
        """Takes the next bytes and gives the lines that they complete.

        Raises:
            UpstreamProtocolError: A line is too long.
        """
        end = chunk.rfind(b"\n") + 1
        if end == 0:
            self._keep(chunk)
            return []
        lines = b"".join((*self._pieces, chunk[:end]))
        self._pieces.clear()
        self._size = 0
        self._keep(chunk[end:])
        return [line for each in lines.split(b"\n") if (line := each.strip())]

    def close(self) -> list[bytes]:
        """Ends the stream: gives what may be a line without its end."""
        rest = b"".join(self._pieces).strip()
        self._pieces.clear()
        return [rest] if rest else []

    def _keep(self, piece: bytes) -> None:
        if not piece:
            return
        self._size += len(piece)
        if self._size > self._max:
            raise UpstreamProtocolError("The provider sent a line that is too long.")
        self._pieces.append(piece)
