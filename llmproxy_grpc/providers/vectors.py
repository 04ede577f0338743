"""Vectors as providers send them: numbers, or their bytes, checked and made into arrays of single precision."""

import math
import struct
import sys
from array import array
from collections.abc import Sequence

from llmproxy_grpc.errors import UpstreamProtocolError

Sent = bytes | Sequence[float] | None
"""One vector as decoded from JSON: single precision with the lowest byte first (from base64), or its numbers."""


def read_vectors(sent: Sequence[Sent], *, inputs: int, dimensions: int | None = None) -> tuple["array[float]", ...]:
    """Gives the vectors, of which each must have the same length.

    Args:
        sent: The vectors, in the order of the inputs.
        inputs: How many there must be.
        dimensions: How long they must be; None for any length but 0.

    Raises:
        UpstreamProtocolError: One is missing, has another length, or holds what is no number of single precision.
    """
    if len(sent) != inputs:
        raise UpstreamProtocolError("The provider's answer does not have one vector for each input.")
    vectors = tuple([_vector(one) for one in sent])
    wanted = dimensions or len(vectors[0])
    if not wanted or any(len(vector) != wanted for vector in vectors):
        raise UpstreamProtocolError("The provider's vectors do not have the length that they should.")
    return vectors


def from_bytes(raw: bytes, byteorder: str = sys.byteorder) -> "array[float]":
    """Gives the numbers whose bytes these are, four for each, the lowest first.

    Raises:
        UpstreamProtocolError: There is no whole number of them, or one is infinite or none.
    """
    if len(raw) % 4:
        raise _unreadable()
    vector = array("f")
    vector.frombytes(raw)
    if byteorder == "big":
        vector.byteswap()
    # Only numbers whose highest byte is one of these may be none, and those of vectors hardly ever have it: looking for
    # it takes a tenth of the time that asking each number takes.
    highest = raw[3::4]
    if (b"\x7f" in highest or b"\xff" in highest) and not all(map(math.isfinite, vector)):
        raise _unreadable()
    return vector


def _vector(sent: Sent) -> "array[float]":
    if sent is None:
        raise UpstreamProtocolError("The provider's answer does not have one vector for each input.")
    if isinstance(sent, bytes):
        return from_bytes(sent)
    try:
        # Twice as fast as the array's own constructor, and refuses what does not fit.
        return from_bytes(struct.pack(f"<{len(sent)}f", *sent))
    except (OverflowError, struct.error) as error:
        raise _unreadable() from error


def _unreadable() -> UpstreamProtocolError:
    return UpstreamProtocolError("The provider's vectors hold what is no number.")
