"""ListModels and GetModel: what callers may ask for."""

from collections.abc import Callable

from llmproxy_grpc._gen.v1 import health_pb2, model_pb2
from llmproxy_grpc.errors import FieldViolation, ResourceNotFound
from llmproxy_grpc.messages import Price
from llmproxy_grpc.routing.catalog import Catalog, Route, Target
from llmproxy_grpc.routing.description import Description
from llmproxy_grpc.server.paging import page_of
from llmproxy_grpc.server.request import invalid
from llmproxy_grpc.server.rpc import Rpc
from llmproxy_grpc.wire.scalars import count, number


class ModelsServicer:
    """Serves ListModels and GetModel.

    Args:
        catalog: The current catalog.
        providers: The names of the current providers.
        serving: Whether a provider serves, as far as is known.
        describe: What callers can expect of a model.
        price: What a target costs now; None if that is not known.
    """

    def __init__(
        self,
        *,
        catalog: Callable[[], Catalog],
        providers: Callable[[], frozenset[str]],
        serving: Callable[[str], bool],
        describe: Callable[[Route], Description],
        price: Callable[[Target], Price | None],
    ) -> None:
        self._catalog = catalog
        self._providers = providers
        self._serving = serving
        self._describe = describe
        self._price = price

    async def list_models(self, request: model_pb2.ListModelsRequest, _rpc: Rpc) -> model_pb2.ListModelsResponse:
        """One page of models, ordered by id; a page goes on behind the last id of the page before."""
        if request.provider and request.provider not in self._providers():
            raise ResourceNotFound("No such provider.", metadata={"resource": request.provider[:128]})
        catalog = self._catalog()
        models, token = page_of(catalog.listed(request.provider), request.page_size, request.page_token)
        return model_pb2.ListModelsResponse(
            models=[self._model(catalog.route(model)) for model in models], next_page_token=token
        )

    async def get_model(self, request: model_pb2.GetModelRequest, _rpc: Rpc) -> model_pb2.GetModelResponse:
        """One model by its id."""
        if not request.id:
            raise invalid([FieldViolation("id", "Required: a model's id.")])
        return model_pb2.GetModelResponse(model=self._model(self._catalog().route(request.id)))

    def _model(self, route: Route) -> model_pb2.Model:
        told = self._describe(route)
        model = model_pb2.Model(
            id=route.model,
            max_input_tokens=count(told.max_input_tokens),
            max_output_tokens=count(told.max_output_tokens),
            input_modalities=map(number, sorted(told.input_modalities)),
            output_modalities=map(number, sorted(told.output_modalities)),
            capabilities=map(number, sorted(told.capabilities)),
            status=_status(serves=any(self._serving(target.provider) for target in route.targets)),
        )
        for target in route.targets:
            self._fill_target(model.targets.add(), target)
        return model

    def _fill_target(self, message: model_pb2.Target, target: Target) -> None:
        message.provider, message.upstream_model = target.provider, target.upstream_model
        message.status = _status(serves=self._serving(target.provider))
        price = self._price(target)
        if price is not None:
            rates = price.rates
            message.price.currency_code = price.currency_code
            message.price.input_nanos_per_million_tokens = rates.input
            message.price.output_nanos_per_million_tokens = rates.output
            message.price.cached_input_nanos_per_million_tokens = rates.cached_input
            message.price.cache_write_nanos_per_million_tokens = rates.cache_write


def _status(*, serves: bool) -> health_pb2.ServingStatus.ValueType:
    return health_pb2.SERVING_STATUS_SERVING if serves else health_pb2.SERVING_STATUS_NOT_SERVING
