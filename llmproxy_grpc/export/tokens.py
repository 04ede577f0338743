"""Resume tokens: an export's progress, sealed for one tenant and one request."""

import base64
import binascii
import hmac
from typing import Final

import msgspec
from msgspec import Struct

from llmproxy_grpc.errors import ResumeTokenExpired, ResumeTokenInvalid
from llmproxy_grpc.export.progress import Progress

VERSION: Final = b"\x01"
_MAC_BYTES: Final = 16


class Position(Struct, frozen=True, array_like=True):
    """Which export a token goes on with, and where: Unix seconds until it ends, and what froze the selection."""

    expires_at: int
    as_of_seq: int
    as_of_feedback_seq: int
    plan_id: str
    plan_digest: bytes
    progress: Progress


class Seal:
    """Seals and opens the tokens of one export.

    Args:
        key: Kept with the records, so that every worker opens what another has sealed.
        tenant: Whose export it is.
        request: A digest of the request without its token.
    """

    def __init__(self, key: bytes, tenant: str, request: bytes) -> None:
        name = tenant.encode()
        self._mac = hmac.new(key, b"resume" + VERSION + len(name).to_bytes(4) + name + request, "sha256")
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder = msgspec.msgpack.Decoder(Position)

    def write(self, position: Position) -> str:
        """The token of a position."""
        payload = self._encoder.encode(position)
        return base64.urlsafe_b64encode(VERSION + self._sum(payload) + payload).rstrip(b"=").decode()

    def read(self, token: str, now: float) -> Position:
        """The position of a token.

        Raises:
            ResumeTokenInvalid: It is no token of ours, or one of another tenant or request.
            ResumeTokenExpired: Its export is over.
        """
        try:
            padded = token.encode("ascii") + b"=" * (-len(token) % 4)
            data = base64.b64decode(padded, altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            raise ResumeTokenInvalid("The resume token is malformed.") from None
        mac, payload = data[1 : 1 + _MAC_BYTES], data[1 + _MAC_BYTES :]
        if data[:1] != VERSION or not hmac.compare_digest(mac, self._sum(payload)):
            raise ResumeTokenInvalid(
                "The resume token belongs to another export or caller, or the request was changed."
            )
        position = self._decoder.decode(payload)
        if position.expires_at <= now:
            raise ResumeTokenExpired("The resume token has expired; begin the export again.")
        return position

    def _sum(self, payload: bytes) -> bytes:
        mac = self._mac.copy()
        mac.update(payload)
        return mac.digest()[:_MAC_BYTES]
