"""`llmproxyctl models`: what may be asked."""

from llmproxy_client.client import Client
from llmproxy_client.ctl.terminal import Terminal
from llmproxy_client.names import short
from llmproxy_client.v1.health_pb2 import ServingStatus
from llmproxy_client.v1.model_pb2 import Capability, ListModelsRequest, ListModelsResponse, Model

_HEAD = ("MODEL", "STATUS", "TARGETS", "INPUT", "OUTPUT", "CAPABILITIES")
_PAGE = 1000


def show(client: Client, terminal: Terminal, *, as_json: bool, timeout: float | None) -> None:
    """Prints every model that the caller may use."""
    models = _all(client, timeout)
    if as_json:
        terminal.json(models)
    else:
        terminal.table([_HEAD, *(_row(model) for model in models.models)])


def _all(client: Client, timeout: float | None) -> ListModelsResponse:
    whole, token = ListModelsResponse(), ""
    while True:
        page = client.stub.ListModels(ListModelsRequest(page_size=_PAGE, page_token=token), timeout=timeout)
        whole.models.extend(page.models)
        if not page.next_page_token or page.next_page_token == token:
            return whole
        token = page.next_page_token


def _row(model: Model) -> tuple[str, ...]:
    return (
        model.id,
        short(ServingStatus.DESCRIPTOR, model.status),
        ", ".join(f"{target.provider}/{target.upstream_model}" for target in model.targets),
        str(model.max_input_tokens or ""),
        str(model.max_output_tokens or ""),
        ", ".join(short(Capability.DESCRIPTOR, capability).lower() for capability in model.capabilities),
    )
