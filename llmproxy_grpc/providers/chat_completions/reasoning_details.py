"""OpenRouter's `reasoning_details`: the thinking of every vendor in one shape, which has to come back as it was."""

from typing import Any, Final

from llmproxy_grpc.providers.continuity import fields_of, token_of
from llmproxy_grpc.providers.extent import Extent
from llmproxy_grpc.providers.tool_arguments import Pieces

FIELD: Final = "reasoning_details"
_GROWING: Final = {"reasoning.text": "text", "reasoning.summary": "summary"}
"""The kinds that come in pieces, and which field of them grows; encrypted ones come whole."""


class ReasoningDetails:
    """Puts the pieces of a stream together again: those of one kind and one number are one entry.

    Args:
        extent: What the stream has held so far.
    """

    __slots__ = ("_entries", "_extent", "_open")

    def __init__(self, extent: Extent) -> None:
        self._extent = extent
        self._entries: list[tuple[dict[str, Any], str, Pieces]] = []
        self._open: dict[tuple[str, int | None], int] = {}

    def take(self, pieces: Any) -> None:
        """Takes the pieces of one chunk; what is none is left out.

        Raises:
            UpstreamProtocolError: The stream holds too much.
        """
        for piece in pieces if isinstance(pieces, list) else ():
            if isinstance(piece, dict):
                self._extent.hold(len(str(piece)))
                self._add(piece)

    def token(self) -> bytes:
        """The continuity token that holds them all; empty if none came."""
        whole = [
            {**fields, grown: text} if (text := texts.text()) else fields for fields, grown, texts in self._entries
        ]
        return token_of({FIELD: whole}, FIELD) if whole else b""

    def _add(self, piece: dict[str, Any]) -> None:
        kind, number = piece.get("type"), piece.get("index")
        grown = _GROWING.get(kind, "") if isinstance(kind, str) else ""
        key = (str(kind), number if isinstance(number, int) else None)
        position = self._open.get(key) if grown else None
        if position is None:
            position = self._open[key] = len(self._entries)
            self._entries.append(({}, grown, Pieces()))
        fields, _, texts = self._entries[position]
        for name, value in piece.items():
            if name == grown and isinstance(value, str):
                texts.add(value)
                fields.setdefault(name, "")  # where it stands
            elif value is not None or name not in fields:
                fields[name] = value  # such as the signature, which comes with the last piece


def details_token(details: Any) -> bytes:
    """The continuity token of a whole message's details; empty if there are none."""
    return token_of({FIELD: details}, FIELD) if isinstance(details, list) and details else b""


def details_of(token: bytes) -> list[Any]:
    """The details that a token holds; none if it holds something else."""
    details = fields_of(token).get(FIELD)
    return details if isinstance(details, list) else []
