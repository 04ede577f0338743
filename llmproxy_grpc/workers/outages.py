"""What one worker learns of a target that is out, all know at once."""

import hashlib
import pickle
import time
from collections.abc import Callable, Mapping
from typing import Final

import msgspec
from msgspec import Struct

from llmproxy_grpc.config.schema import ProviderConfig
from llmproxy_grpc.routing.outage import Outage, OutageKind
from llmproxy_grpc.workers.shared import SharedTable

PREFIX: Final = "outage/"
SHORTEST: Final = 60.0
"""Seconds that good news are kept for workers that start later: they must outlast the bad news before."""


class News(Struct, frozen=True):
    """An outage, and how the provider was configured where it was seen: with another key it says nothing."""

    configured: bytes
    outage: Outage


ENDED: Final[Mapping[OutageKind, OutageKind]] = {
    OutageKind.CLOSED: OutageKind.OPEN,
    OutageKind.REINSTATED: OutageKind.BENCHED,
}
"""The good news, and the bad that each puts an end to."""
DECODER: Final = msgspec.msgpack.Decoder(News)


class Outages:
    """Passes outages on between this worker and the others.

    Args:
        table: What all workers share.
        configured: How each provider is configured now.
        learn: Takes what another worker has seen.
    """

    def __init__(
        self,
        table: SharedTable,
        configured: Callable[[], Mapping[str, ProviderConfig]],
        learn: Callable[[Outage], None],
    ) -> None:
        self._table = table
        self._configured = configured
        self._learn = learn

    def tell(self, outage: Outage) -> None:
        """Tells the other workers."""
        provider = self._configured().get(outage.provider)
        if provider is None:
            return
        news = msgspec.msgpack.encode(News(_digest(provider), outage))
        self._table.publish(_key(outage), news, seconds=max(SHORTEST, outage.until - time.monotonic()))

    def follow(self) -> None:
        """Begins to learn from the others, what they have told before included."""
        self._table.subscribe(PREFIX, self._take)

    def _take(self, _key: str, value: bytes, _seconds: float) -> None:
        news = DECODER.decode(value)
        provider = self._configured().get(news.outage.provider)
        if provider is not None and news.configured == _digest(provider):
            self._learn(news.outage)


def _key(outage: Outage) -> str:
    """Names what the news are about, so that later news replace earlier ones."""
    about = ENDED.get(outage.kind, outage.kind)
    return f"{PREFIX}{about.value}/{outage.provider}/{outage.credential}/{outage.upstream_model}"


def _digest(provider: ProviderConfig) -> bytes:
    """Tells one configuration from another, keys included, without saying anything of them."""
    return hashlib.blake2b(pickle.dumps(provider.model_dump()), digest_size=16).digest()
