"""Which providers get calls: what the configuration says of each, and what an operator has switched since."""

from collections.abc import Callable, Mapping
from datetime import datetime
from enum import Enum

from msgspec import Struct


class Switch(Enum):
    """Whether a provider gets calls: as usual, no new ones, or none at all."""

    ENABLED = "enabled"
    DRAINING = "draining"
    DISABLED = "disabled"


class Switching(Struct, frozen=True):
    """What an operator switched, when and why: also what one process tells the others."""

    provider: str
    state: Switch
    note: str
    time: datetime


class Setting(Struct, frozen=True):
    """How a provider is switched: now, by the configuration, and by an operator if one has done so."""

    state: Switch
    configured: Switch
    switching: Switching | None


Listener = Callable[[Switching], None]


class Switchboard:
    """Answers on the hot path whether a provider gets calls.

    What an operator has switched holds until the configuration says something else of the provider than before, or no
    longer has it. A new process begins with what the configuration says.
    """

    def __init__(self) -> None:
        self._configured: Mapping[str, Switch] = {}
        self._switched: dict[str, Switching] = {}
        self._closed: frozenset[str] = frozenset()
        self._listeners: list[Listener] = []

    def admits(self, provider: str) -> bool:
        """Whether a provider gets new calls."""
        return provider not in self._closed

    def setting(self, provider: str) -> Setting:
        """How a provider is switched; one that nobody mentions is enabled."""
        configured = self._configured.get(provider, Switch.ENABLED)
        switching = self._switched.get(provider)
        return Setting(configured if switching is None else switching.state, configured, switching)

    def configure(self, states: Mapping[str, Switch]) -> None:
        """Takes what the configuration says of every provider."""
        before = self._configured
        self._configured = dict(states)
        self._switched = {
            name: switching
            for name, switching in self._switched.items()
            if name in states and states[name] is before.get(name)
        }
        self._close()

    def switch(self, switching: Switching) -> None:
        """Does what an operator wants, here or in another process, and tells the listeners.

        What is older than what is known of the provider changes nothing: processes may hear of two switchings in
        different orders.
        """
        known = self._switched.get(switching.provider)
        if switching.provider not in self._configured or (known is not None and known.time > switching.time):
            return
        self._switched[switching.provider] = switching
        self._close()
        for listener in self._listeners:
            listener(switching)

    def listen(self, listener: Listener) -> None:
        """Has `listener(switching)` called after each; it must return at once and not raise."""
        self._listeners.append(listener)

    def _close(self) -> None:
        self._closed = frozenset(name for name in self._configured if self.setting(name).state is not Switch.ENABLED)
