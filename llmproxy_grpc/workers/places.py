"""Where one process listens."""

from msgspec import Struct

from llmproxy_grpc.config.schema import Config


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
        """Every address, behind what tells its listener from others: several may ask for a free port."""
        several = [(f"grpc[{index}]", address) for index, address in enumerate(self.grpc)]
        single = [("health", self.health), ("admin", self.admin)]
        return (*several, *((name, address) for name, address in single if address is not None))


def places_of(config: Config, worker: int = 0) -> Places:
    """Where a worker is to listen."""
    return Places(config.grpc.addresses(worker), config.grpc.health_listen, config.admin.listen)
