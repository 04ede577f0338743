"""Sticky conversations: the same one goes to the same target, by hashing alone, so that every worker agrees.

Providers cache prompts by their beginning, so what comes back with a longer end is cheaper and faster where it was
before. Each target draws a lot from the conversation's key and its own name (rendezvous hashing): the highest serves.
If a target goes, its conversations alone move; if one comes, it takes its share from each of the others and no more.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Final

from llmproxy_grpc.messages import ChatRequest, EmbedRequest, MediaPart, Message, Role, TextPart
from llmproxy_grpc.routing.catalog import Target

MOST_OF_A_PART: Final = 4096
"""Characters, or bytes, of each part that count: more would take time, and tells hardly more."""
_SPAN: Final = 2**64


def conversation_of(request: ChatRequest | EmbedRequest) -> bytes:
    """The key of a conversation: its id, or where it has none how it begins; empty if it belongs to none.

    The beginning is all up to the first message of the user: it is in every later call as well, and it is what a cache
    of prompts knows a conversation by.
    """
    if isinstance(request, EmbedRequest):
        return b""
    key = blake2b(digest_size=16)
    if request.conversation_id:
        key.update(b"id\0" + request.conversation_id.encode("utf-8", "replace"))
        return key.digest()
    for piece in _beginning(request.messages):
        key.update(len(piece).to_bytes(4) + piece)
    return key.digest()


def by_lot(targets: Sequence[Target], weights: Mapping[Target, int], conversation: bytes) -> Sequence[Target]:
    """Orders targets by their lots for one conversation: each comes first in its share of all conversations."""
    lots = {target: _lot(target, conversation) / weights.get(target, 1) for target in targets}
    return sorted(targets, key=lots.__getitem__)


def _lot(target: Target, conversation: bytes) -> float:
    """A waiting time, exponentially distributed: the shortest of several is each one's in proportion to its rate."""
    name = f"{target.provider}/{target.upstream_model}".encode("utf-8", "replace")
    number = int.from_bytes(blake2b(name, digest_size=8, key=conversation).digest())
    return -math.log((number + 1) / (_SPAN + 1))


def _beginning(messages: Sequence[Message]) -> Iterator[bytes]:
    for message in messages:
        yield message.role.name.encode()
        for part in message.parts:
            if isinstance(part, TextPart):
                yield part.text[:MOST_OF_A_PART].encode("utf-8", "replace")
            elif isinstance(part, MediaPart):
                yield (part.uri or part.file_id or "").encode("utf-8", "replace")
                yield (part.data or b"")[:MOST_OF_A_PART]
        if message.role is Role.USER:
            return
