"""What an operator switches in one worker is switched in all."""

from collections.abc import Callable
from typing import Final

import msgspec
from msgspec import Struct

from llmproxy_grpc.health.switchboard import Switch, Switchboard, Switching
from llmproxy_grpc.workers.shared import SharedTable

PREFIX: Final = "switching/"
KEPT: Final = 30 * 86400.0
"""Seconds that a worker which starts later still catches up."""


class Shared(Struct, frozen=True):
    """A switching, and what the configuration said of the provider then: if it says something else now, that holds."""

    configured: Switch
    switching: Switching


DECODER: Final = msgspec.msgpack.Decoder(Shared)


def alone(_switching: Switching) -> None:
    """There is nobody to tell."""


def share_switchings(table: SharedTable, switchboard: Switchboard) -> Callable[[Switching], None]:
    """Has the switchboard follow the other workers; gives what tells them."""

    def take(_key: str, value: bytes, _seconds: float) -> None:
        shared = DECODER.decode(value)
        if switchboard.setting(shared.switching.provider).configured is shared.configured:
            switchboard.switch(shared.switching)

    def publish(switching: Switching) -> None:
        shared = Shared(switchboard.setting(switching.provider).configured, switching)
        table.publish(f"{PREFIX}{switching.provider}", msgspec.msgpack.encode(shared), seconds=KEPT)

    table.subscribe(PREFIX, take)
    return publish
