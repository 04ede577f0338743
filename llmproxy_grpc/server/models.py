"""ListModels and GetModel: what callers may ask for."""

import base64
import binascii
from collections.abc import Callable
from typing import Final

from llmproxy_grpc._gen.v1 import generation_pb2, health_pb2, model_pb2
from llmproxy_grpc.errors import FieldViolation, ResourceNotFound
from llmproxy_grpc.routing.catalog import Catalog, ListedModel
from llmproxy_grpc.server.request import invalid
from llmproxy_grpc.server.rpc import Rpc

USUAL_PAGE: Final = 100
LARGEST_PAGE: Final = 1000


class ModelsServicer:
    """Serves ListModels and GetModel.

    Args:
        catalog: The current catalog.
        providers: The names of the current providers.
        serving: Whether a provider serves, as far as is known.
    """

    def __init__(
        self,
        *,
        catalog: Callable[[], Catalog],
        providers: Callable[[], frozenset[str]],
        serving: Callable[[str], bool],
    ) -> None:
        self._catalog = catalog
        self._providers = providers
        self._serving = serving

    async def list_models(self, request: model_pb2.ListModelsRequest, _rpc: Rpc) -> model_pb2.ListModelsResponse:
        """One page of models, ordered by id; a page goes on behind the last id of the page before."""
        if request.page_size < 0:
            raise invalid([FieldViolation("page_size", "Must not be negative; 0 means 100.")])
        if request.provider and request.provider not in self._providers():
            raise ResourceNotFound("No such provider.", metadata={"resource": request.provider[:128]})
        size = min(request.page_size or USUAL_PAGE, LARGEST_PAGE)
        behind = _read_token(request.page_token)
        models = [
            entry for entry in self._catalog().listed(request.provider) if not behind or entry.route.model > behind
        ]
        token = _write_token(models[size - 1].route.model) if len(models) > size else ""
        return model_pb2.ListModelsResponse(
            models=[self._model(entry) for entry in models[:size]], next_page_token=token
        )

    async def get_model(self, request: model_pb2.GetModelRequest, _rpc: Rpc) -> model_pb2.GetModelResponse:
        """One model by its id."""
        if not request.id:
            raise invalid([FieldViolation("id", "Required: a model's id.")])
        return model_pb2.GetModelResponse(model=self._model(self._catalog().find(request.id)))

    def _model(self, entry: ListedModel) -> model_pb2.Model:
        targets = [
            model_pb2.Target(
                provider=target.provider,
                upstream_model=target.upstream_model,
                status=_status(serves=self._serving(target.provider)),
            )
            for target in entry.route.targets
        ]
        serves = any(self._serving(target.provider) for target in entry.route.targets)
        return model_pb2.Model(
            id=entry.route.model,
            targets=targets,
            max_input_tokens=entry.max_input_tokens,
            max_output_tokens=entry.max_output_tokens,
            input_modalities=[generation_pb2.MODALITY_TEXT],
            output_modalities=[generation_pb2.MODALITY_TEXT],
            capabilities=[model_pb2.CAPABILITY_CHAT],
            status=_status(serves=serves),
        )


def _status(*, serves: bool) -> health_pb2.ServingStatus.ValueType:
    return health_pb2.SERVING_STATUS_SERVING if serves else health_pb2.SERVING_STATUS_NOT_SERVING


def _write_token(model: str) -> str:
    return base64.urlsafe_b64encode(model.encode()).decode()


def _read_token(token: str) -> str:
    try:
        return base64.b64decode(token, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raise invalid([FieldViolation("page_token", "Not a token of an answer before; leave it empty.")]) from None
