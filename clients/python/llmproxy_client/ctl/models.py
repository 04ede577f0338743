"""`llmproxyctl models`: what may be asked."""

from llmproxy_client.client import Client
from llmproxy_client.ctl.terminal import Terminal
from llmproxy_client.names import short
from llmproxy_client.v1.health_pb2 import ServingStatus
from llmproxy_client.v1.model_pb2 import Capability, ListModelsRequest, ListModelsResponse, Model, Price

_HEAD = ("MODEL", "STATUS", "TARGETS", "INPUT", "OUTPUT", "PRICE", "CAPABILITIES")
_NANOS = 1_000_000_000
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
        _price(model),
        ", ".join(short(Capability.DESCRIPTOR, capability).lower() for capability in model.capabilities),
    )


def _price(model: Model) -> str:
    """What a million prompt tokens and a million generated ones cost at the first target whose price is known."""
    price = next((target.price for target in model.targets if target.HasField("price")), None)
    return "" if price is None else f"{_amounts(price)} {price.currency_code}"


def _amounts(price: Price) -> str:
    read, written = price.input_nanos_per_million_tokens, price.output_nanos_per_million_tokens
    return f"{read / _NANOS:.10g}/{written / _NANOS:.10g}"
