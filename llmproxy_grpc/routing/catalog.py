"""Which models there are: the configured routes, and every provider's own models where they may be called directly."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from msgspec import Struct

from llmproxy_grpc.config.schema import Config, ModelConfig, ModelDefaults, ProviderConfig
from llmproxy_grpc.errors import ModelNotFound
from llmproxy_grpc.providers.provider import UpstreamModel

DEFAULT: Final = "default"
"""The name that stands for the configured default model, unless a model of that name is configured."""


class Target(Struct, frozen=True):
    """A provider and one of its models."""

    provider: str
    upstream_model: str


class Route(Struct, frozen=True):
    """A model that callers use, and what stands behind it, in the configured order."""

    model: str
    targets: tuple[Target, ...]
    strategy: str = "priority"
    fallback_models: tuple[str, ...] = ()
    defaults: ModelDefaults | None = None


class ListedModel(Struct, frozen=True):
    """A model as ListModels shows it; limits in tokens, 0 if not known."""

    route: Route
    max_input_tokens: int = 0
    max_output_tokens: int = 0


class Catalog:
    """Looks models up in one configuration; `directory` tells what providers listed last, by provider name."""

    def __init__(
        self,
        config: Config,
        providers: Sequence[ProviderConfig],
        directory: Callable[[], Mapping[str, Sequence[UpstreamModel]]],
    ) -> None:
        self._routes = {model.id: _route(model) for model in config.models}
        self._providers = {provider.name: provider for provider in providers}
        self._direct = config.direct_models
        self._directory = directory
        self.default_model = config.default_model

    def route(self, model: str) -> Route:
        """The route of a model; raises ModelNotFound."""
        route = self._routes.get(model)
        if route is not None:
            return route
        if model == DEFAULT and self.default_model and self.default_model != DEFAULT:
            return self.route(self.default_model)
        target = self._direct_target(model)
        if target is None:
            raise ModelNotFound(
                f"There is no model {model[:128]!r}; ListModels names them all.", metadata={"model": model[:128]}
            )
        return Route(model, (target,))

    def listed(self, provider: str = "") -> list[ListedModel]:
        """Every model that is configured or discovered, ordered by id; only those that `provider` serves, if given."""
        models = {route.model: ListedModel(route) for route in self._routes.values()}
        for name, upstream_models in self._directory().items():
            for upstream in upstream_models if self._direct else ():
                model = f"{name}/{upstream.name}"
                if model not in models and self._direct_target(model):
                    route = Route(model, (Target(name, upstream.name),))
                    models[model] = ListedModel(route, upstream.max_input_tokens, upstream.max_output_tokens)
        wanted = (entry for entry in models.values() if not provider or _serves(entry.route, provider))
        return sorted(wanted, key=lambda entry: entry.route.model)

    def find(self, model: str) -> ListedModel:
        """One model as ListModels would show it; raises ModelNotFound."""
        route = self.route(model)
        for entry in self.listed():
            if entry.route.model == route.model:
                return entry
        return ListedModel(route)

    def configured(self) -> tuple[str, ...]:
        """The ids of the configured models."""
        return tuple(self._routes)

    def knows(self, model: str) -> bool:
        """Whether a model is configured or discovered; a name that merely could be sent on is not."""
        if model in self._routes or (model == DEFAULT and self.default_model):
            return True
        target = self._direct_target(model)
        if target is None:
            return False
        return any(entry.name == target.upstream_model for entry in self._directory().get(target.provider, ()))

    def _direct_target(self, model: str) -> Target | None:
        name, slash, upstream_model = model.partition("/")
        provider = self._providers.get(name)
        if not (self._direct and slash and upstream_model and provider and provider.models.admits(upstream_model)):
            return None
        return Target(name, upstream_model)


def _route(model: ModelConfig) -> Route:
    return Route(
        model.id,
        tuple(Target(target.provider, target.model) for target in model.targets),
        model.strategy,
        model.fallback_models,
        model.defaults,
    )


def _serves(route: Route, provider: str) -> bool:
    return any(target.provider == provider for target in route.targets)
