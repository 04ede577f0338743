"""`llmproxyctl provider`: which providers get calls, shown and switched by operators."""

from collections.abc import Callable, Mapping, Sequence

from llmproxy_client.admin.v1.admin_service_pb2_grpc import AdminServiceStub
from llmproxy_client.admin.v1.provider_pb2 import (
    PROVIDER_STATE_ENABLED,
    DisableProviderRequest,
    DrainProviderRequest,
    EnableProviderRequest,
    ListProvidersRequest,
    ListProvidersResponse,
    Provider,
    ProviderState,
)
from llmproxy_client.client import Client
from llmproxy_client.ctl.terminal import Terminal
from llmproxy_client.names import short

VERBS: Mapping[str, str] = {
    "enable": "give a provider calls again",
    "drain": "give it no new calls, and let what runs finish",
    "disable": "give it no new calls, and take away those that run",
}
_HEAD = ("PROVIDER", "KIND", "STATE", "CONFIGURED", "IN FLIGHT", "SERVES", "SWITCHED", "NOTE")
_PAGE = 1000


def show(client: Client, terminal: Terminal, *, as_json: bool, timeout: float | None) -> None:
    """Prints every provider."""
    stub, whole, token = AdminServiceStub(client.channel), ListProvidersResponse(), ""
    while True:
        page = stub.ListProviders(ListProvidersRequest(page_size=_PAGE, page_token=token), timeout=timeout)
        whole.providers.extend(page.providers)
        if not page.next_page_token or page.next_page_token == token:
            break
        token = page.next_page_token
    _print(whole.providers, terminal, as_json=as_json)


def switch(verb: str, names: Sequence[str], note: str) -> Callable[..., None]:
    """The command that switches providers, one after the other, and prints each as it is then, up to one that fails."""

    def run(client: Client, terminal: Terminal, *, as_json: bool, timeout: float | None) -> None:
        ask = _asker(AdminServiceStub(client.channel), verb, note, timeout)
        switched: list[Provider] = []
        try:
            for name in names:
                switched.append(ask(name))  # noqa: PERF401 - those before one that fails are switched, and must be told
        finally:
            if switched:
                _print(switched, terminal, as_json=as_json)

    return run


def _asker(stub: AdminServiceStub, verb: str, note: str, timeout: float | None) -> Callable[[str], Provider]:
    def ask(name: str) -> Provider:
        match verb:
            case "enable":
                return stub.EnableProvider(EnableProviderRequest(name=name, note=note), timeout=timeout).provider
            case "drain":
                return stub.DrainProvider(DrainProviderRequest(name=name, note=note), timeout=timeout).provider
            case _:
                return stub.DisableProvider(DisableProviderRequest(name=name, note=note), timeout=timeout).provider

    return ask


def _print(providers: Sequence[Provider], terminal: Terminal, *, as_json: bool) -> None:
    if as_json:
        terminal.json(ListProvidersResponse(providers=providers))
    else:
        terminal.table([_HEAD, *(_row(provider) for provider in providers)])


def _row(provider: Provider) -> tuple[str, ...]:
    return (
        provider.name,
        provider.kind,
        short(ProviderState.DESCRIPTOR, provider.state),
        short(ProviderState.DESCRIPTOR, provider.configured_state),
        str(provider.in_flight),
        "yes" if provider.serving and provider.state == PROVIDER_STATE_ENABLED else "no",
        provider.change_time.ToJsonString() if provider.HasField("change_time") else "",
        provider.note,
    )
