"""The operators' service: which providers get calls, to be seen and switched while the proxy runs."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

import structlog
from msgspec import Struct

from llmproxy_grpc._gen.admin.v1 import provider_pb2
from llmproxy_grpc.errors import FieldViolation, ResourceNotFound
from llmproxy_grpc.health.switchboard import Switch, Switchboard, Switching
from llmproxy_grpc.server.paging import page_of
from llmproxy_grpc.server.request import invalid
from llmproxy_grpc.server.rpc import Rpc, Servicer
from llmproxy_grpc.wire.scalars import fill_time

LONGEST_NOTE: Final = 256
"""Bytes."""

_STATES: Final = {
    Switch.ENABLED: provider_pb2.PROVIDER_STATE_ENABLED,
    Switch.DRAINING: provider_pb2.PROVIDER_STATE_DRAINING,
    Switch.DISABLED: provider_pb2.PROVIDER_STATE_DISABLED,
}

log = structlog.get_logger(__name__)


class ProviderFacts(Struct, frozen=True):
    """What an operator is shown of a provider besides its switch."""

    kind: str
    in_flight: int
    serving: bool


class AdminServicer:
    """Serves AdminService.

    Args:
        switchboard: What is looked at and switched.
        providers: What is known of each current provider, by name.
        now: The wall clock.
        publish: Tells the other processes of this proxy.
    """

    def __init__(
        self,
        *,
        switchboard: Switchboard,
        providers: Callable[[], Mapping[str, ProviderFacts]],
        now: Callable[[], datetime],
        publish: Callable[[Switching], None],
    ) -> None:
        self._switchboard = switchboard
        self._providers = providers
        self._now = now
        self._publish = publish

    def servicers(self) -> Mapping[str, Servicer]:
        """The methods by name."""
        return {
            "ListProviders": self.list_providers,
            "GetProvider": self.get_provider,
            "EnableProvider": self.enable_provider,
            "DrainProvider": self.drain_provider,
            "DisableProvider": self.disable_provider,
        }

    async def list_providers(
        self, request: provider_pb2.ListProvidersRequest, _rpc: Rpc
    ) -> provider_pb2.ListProvidersResponse:
        """One page of providers, ordered by name."""
        providers = self._providers()
        names, token = page_of(sorted(providers), request.page_size, request.page_token)
        shown = [self._shown(name, providers[name]) for name in names]
        return provider_pb2.ListProvidersResponse(providers=shown, next_page_token=token)

    async def get_provider(
        self, request: provider_pb2.GetProviderRequest, _rpc: Rpc
    ) -> provider_pb2.GetProviderResponse:
        """One provider by its name."""
        return provider_pb2.GetProviderResponse(provider=self._found(request.name))

    async def enable_provider(
        self, request: provider_pb2.EnableProviderRequest, rpc: Rpc
    ) -> provider_pb2.EnableProviderResponse:
        """Gives a provider calls again."""
        return provider_pb2.EnableProviderResponse(
            provider=self._switched(Switch.ENABLED, request.name, request.note, rpc)
        )

    async def drain_provider(
        self, request: provider_pb2.DrainProviderRequest, rpc: Rpc
    ) -> provider_pb2.DrainProviderResponse:
        """Gives a provider no new calls, and lets what runs finish."""
        return provider_pb2.DrainProviderResponse(
            provider=self._switched(Switch.DRAINING, request.name, request.note, rpc)
        )

    async def disable_provider(
        self, request: provider_pb2.DisableProviderRequest, rpc: Rpc
    ) -> provider_pb2.DisableProviderResponse:
        """Gives a provider no new calls, and takes away those that run."""
        return provider_pb2.DisableProviderResponse(
            provider=self._switched(Switch.DISABLED, request.name, request.note, rpc)
        )

    def _switched(self, state: Switch, name: str, note: str, rpc: Rpc) -> provider_pb2.Provider:
        self._found(name)
        if len(note.encode()) > LONGEST_NOTE or not note.isprintable():
            raise invalid([FieldViolation("note", f"One line of at most {LONGEST_NOTE} bytes.")])
        switching = Switching(name, state, note, self._now())
        log.warning("provider_switched", provider=name, state=state.value, note=note, request_id=rpc.call.request_id)
        self._switchboard.switch(switching)
        self._publish(switching)
        return self._found(name)

    def _found(self, name: str) -> provider_pb2.Provider:
        if not name:
            raise invalid([FieldViolation("name", "Required: a provider's name.")])
        facts = self._providers().get(name)
        if facts is None:
            raise ResourceNotFound(f"There is no provider {name[:128]!r}.", metadata={"resource": name[:128]})
        return self._shown(name, facts)

    def _shown(self, name: str, facts: ProviderFacts) -> provider_pb2.Provider:
        setting = self._switchboard.setting(name)
        message = provider_pb2.Provider(
            name=name,
            kind=facts.kind,
            state=_STATES[setting.state],
            configured_state=_STATES[setting.configured],
            in_flight=facts.in_flight,
            serving=facts.serving,
        )
        if setting.switching is not None:
            message.note = setting.switching.note
            fill_time(message.change_time, setting.switching.time)
        return message
