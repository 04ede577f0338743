"""What a conversation is, whoever sent it and whichever way it was cut into parts: hashes that threads are found by."""

from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from typing import Final

from msgspec import Struct

from llmproxy_grpc._gen.v1 import content_pb2 as pb

HASH_BYTES: Final = 16
MEDIA: Final = frozenset({"image", "audio", "video", "document"})
_DEVELOPER: Final = pb.ROLE_DEVELOPER
_SYSTEM: Final = pb.ROLE_SYSTEM


class Chain(Struct, frozen=True):
    """A conversation's hashes, and what it holds."""

    input_hash: bytes
    full_hash: bytes | None
    """None without an answer."""
    dkey: bytes | None
    ancestors: tuple[bytes, ...]
    """The full hash of each record that ends on one of the prompt's own answers, the shortest first."""
    has_tool_calls: bool
    has_media: bool


def chain(messages: Iterable[pb.Message], answer: pb.Message | None) -> Chain:
    """Hashes a prompt and its answer, message on message."""
    seen = _Seen()
    state, folded = b"", blake2b(digest_size=HASH_BYTES)
    ancestors = []
    for message in messages:
        canonical = seen.canonical(message)
        state = _next(state, canonical)
        folded.update(_folded(canonical))
        if message.role == pb.ROLE_ASSISTANT:
            ancestors.append(state)
    full = key = None
    if answer is not None:
        canonical = seen.canonical(answer)
        full = _next(state, canonical)
        folded.update(_folded(canonical))
        key = folded.digest()
    return Chain(state, full, key, tuple(ancestors), seen.tool_calls, seen.media)


def _next(state: bytes, canonical: bytes) -> bytes:
    return blake2b(state + canonical, digest_size=HASH_BYTES).digest()


def _folded(canonical: bytes) -> bytes:
    """White space and case made one."""
    text = canonical.decode("utf-8", "surrogateescape").casefold().encode("utf-8", "surrogateescape")
    return b" ".join(text.split())


class _Seen:
    """Makes messages canonical, and notes what was in them."""

    def __init__(self) -> None:
        self.tool_calls = False
        self.media = False

    def canonical(self, message: pb.Message) -> bytes:
        """A message without what differs between the answer as it came and as it is sent back.

        Thinking, tokens of continuity, sources, hints and ids of calls are left out; neighbouring texts are one.
        """
        role = _SYSTEM if message.role == _DEVELOPER else message.role
        parts = message.parts
        if len(parts) == 1 and (part := parts[0]).WhichOneof("part") == "text":  # nearly always
            return b"\x1e%d\x1f%s" % (role, part.text.encode())
        return b"\x1e%d\x1f%s" % (role, b"".join(self._pieces(parts)))

    def _pieces(self, parts: Sequence[pb.ContentPart]) -> Iterator[bytes]:
        text: list[str] = []
        for part in parts:
            kind = part.WhichOneof("part")
            if kind == "text":
                text.append(part.text)
                continue
            if kind is None or kind == "reasoning":
                continue
            if text:
                yield "".join(text).encode()
                text = []
            yield b"\x1d%s\x1f%s\x1d" % (kind.encode(), self._content(kind, part))
        if text:
            yield "".join(text).encode()

    def _content(self, kind: str, part: pb.ContentPart) -> bytes:
        if kind == "tool_call":
            self.tool_calls = True
            return f"{part.tool_call.name}\x1f{part.tool_call.arguments_json}".encode()
        if kind == "tool_result":
            return b"".join(self._pieces(part.tool_result.content))
        if kind == "refusal":
            return part.refusal.encode()
        if kind in MEDIA:
            self.media = True
            media: pb.Media = getattr(part, kind)
            return (
                blake2b(media.data, digest_size=HASH_BYTES).digest()
                if media.data
                else (media.uri or media.file_id).encode()
            )
        return bytes(part.opaque.SerializeToString(deterministic=True))
