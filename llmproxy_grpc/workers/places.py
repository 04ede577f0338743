"""Where one process listens."""

from typing import Final

from msgspec import Struct

from llmproxy_grpc.config.schema import Config

GRPC_LISTEN: Final = "grpc.listen"
HEALTH_LISTEN: Final = "grpc.health_listen"
ADMIN_LISTEN: Final = "admin.listen"
"""The keys of the configuration where the addresses stand."""


class Places(Struct, frozen=True):
    """The addresses of each of its gRPC listeners.

    Attributes:
        grpc: Of the main one.
        health: Of the one for health alone, if there is one.
        admin: Of the one for operators, if there is one.
    """

    grpc: tuple[str, ...]
    health: str | None = None
    admin: str | None = None

    def all(self) -> tuple[tuple[str, str], ...]:
        """Every address, behind its key, which tells its listener from others: several may ask for a free port."""
        several = [(f"{GRPC_LISTEN}[{index}]", address) for index, address in enumerate(self.grpc)]
        single = [(HEALTH_LISTEN, self.health), (ADMIN_LISTEN, self.admin)]
        return (*several, *((key, address) for key, address in single if address is not None))


def places_of(config: Config, worker: int = 0) -> Places:
    """Where a worker is to listen."""
    return Places(config.grpc.addresses(worker), config.grpc.health_listen, config.admin.listen)
