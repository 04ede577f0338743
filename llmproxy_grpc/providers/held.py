"""Text that comes in pieces and waits for its end, such as thinking that is not shown: only so much of it."""

from llmproxy_grpc.providers.extent import Extent
from llmproxy_grpc.providers.jsonio import SurrogateJoiner
from llmproxy_grpc.providers.tool_arguments import Pieces


class HeldText:
    """One such text.

    Args:
        extent: What its stream has held so far.
    """

    __slots__ = ("_extent", "_joiner", "_pieces")

    def __init__(self, extent: Extent) -> None:
        self._extent = extent
        self._pieces = Pieces()
        self._joiner = SurrogateJoiner()

    def add(self, piece: str) -> None:
        """Takes the next piece.

        Raises:
            UpstreamProtocolError: It is too much for all such texts of the stream together.
        """
        self._extent.hold(len(piece))
        self._pieces.add(self._joiner.feed(piece))

    def take(self) -> str:
        """Ends the text and gives it; the next piece begins another one."""
        text = self._pieces.text() + self._joiner.flush()
        self._pieces = Pieces()
        return text
