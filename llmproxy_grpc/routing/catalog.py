"""Which models there are: the configured routes, and every provider's own models where they may be called directly."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

from msgspec import Struct

from llmproxy_grpc.config.schema import Condition, Config, Fallbacks, ModelConfig, ModelDefaults, ProviderConfig
from llmproxy_grpc.errors import ModelNotFound
from llmproxy_grpc.providers.provider import UpstreamModel

DEFAULT: Final = "default"
"""The name that stands for the configured default model, unless a model of that name is configured."""


class Target(Struct, frozen=True, cache_hash=True):
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
    weights: Mapping[Target, int] = {}
    """Shares of the calls; 1 for a target that is not there."""
    conditions: Mapping[Target, Condition] = {}
    """When targets serve; one that is not there serves always."""
    sticky: bool = False
    """Whether a conversation stays with its target."""
    fallbacks: Fallbacks = Fallbacks()
    """The models to try for a cause that no target of this one helps against."""
    limits: Mapping[Target, int] = {}
    """How many tokens targets take, where the configuration says so and not the provider's list."""
    continues: bool = False
    """Whether a stream that breaks off is gone on with by another attempt."""


class Catalog:
    """Looks models up in one configuration; `directory` tells what providers listed last, by provider and name."""

    def __init__(
        self,
        config: Config,
        providers: Sequence[ProviderConfig],
        directory: Callable[[], Mapping[str, Mapping[str, UpstreamModel]]],
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
            raise self._not_found(model)
        return Route(model, (target,))

    def listed(self, provider: str = "") -> list[str]:
        """Every model that is configured or discovered, in order; only those that `provider` serves, if given."""
        models = {model for model, route in self._routes.items() if not provider or _serves(route, provider)}
        if self._direct:
            models.update(self._admitted(provider))
        return sorted(models)

    def admitted(self, provider: str) -> list[str]:
        """What a provider lists and its configuration admits, in the order of its list."""
        config = self._providers.get(provider)
        return [
            name for name in self._directory().get(provider, ()) if config is not None and config.models.admits(name)
        ]

    def configured(self) -> tuple[str, ...]:
        """The ids of the configured models."""
        return tuple(self._routes)

    def routes(self) -> Iterable[Route]:
        """The routes of the configured models."""
        return self._routes.values()

    def knows(self, model: str) -> bool:
        """Whether a model is configured or discovered; a name that merely could be sent on is not."""
        if model in self._routes or (model == DEFAULT and self.default_model):
            return True
        target = self._direct_target(model)
        return target is not None and target.upstream_model in self._directory().get(target.provider, ())

    def _admitted(self, provider: str) -> Iterator[str]:
        """The direct models of one provider, or of all; a route of the same name is another model."""
        for name in (provider,) if provider else self._providers:
            for upstream_model in self.admitted(name):
                if (model := f"{name}/{upstream_model}") not in self._routes:
                    yield model

    def _not_found(self, model: str) -> ModelNotFound:
        if model == DEFAULT and not self.default_model:
            why = "No default_model is configured; ListModels names the models."
        else:
            why = f"There is no model {model[:128]!r}; ListModels names them all."
        return ModelNotFound(why, metadata={"model": model[:128]})

    def _direct_target(self, model: str) -> Target | None:
        name, slash, upstream_model = model.partition("/")
        provider = self._providers.get(name)
        if not (self._direct and slash and upstream_model and provider and provider.models.admits(upstream_model)):
            return None
        return Target(name, upstream_model)


def _route(model: ModelConfig) -> Route:
    targets = {Target(target.provider, target.model): target for target in model.targets}
    return Route(
        model.id,
        tuple(targets),
        model.strategy,
        model.fallback_models,
        model.defaults if model.defaults.settings() else None,
        {target: config.weight for target, config in targets.items()},
        {target: config.when for target, config in targets.items() if config.when is not None},
        model.sticky == "conversation",
        model.fallbacks,
        {target: config.max_input_tokens for target, config in targets.items() if config.max_input_tokens is not None},
        model.on_stream_break == "continue",
    )


def _serves(route: Route, provider: str) -> bool:
    return any(target.provider == provider for target in route.targets)
