"""The configuration as typed, frozen values: one attribute for each key of the file."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, get_args

from pydantic import Field

from llmproxy_grpc.config.listeners import AdminConfig, GrpcConfig, HttpConfig, TlsConfig
from llmproxy_grpc.config.models import Condition, Fallbacks, ModelConfig, ModelDefaults, ModelId, TargetConfig
from llmproxy_grpc.config.operations import (
    AuthConfig,
    BreakerConfig,
    ConnectionsConfig,
    HealthConfig,
    HedgingConfig,
    Limits,
    RecordsConfig,
    RetriesConfig,
    SheddingConfig,
    TelemetryConfig,
    TimeoutsConfig,
)
from llmproxy_grpc.config.prices import PriceConfig, PricesConfig, RatesConfig
from llmproxy_grpc.config.section import Flag, Section
from llmproxy_grpc.config.upstreams import ModelFilter, ProviderConfig

__all__ = [
    "Config",
    "config_schema",
    "keys_at",
    "GrpcConfig",
    "TlsConfig",
    "HttpConfig",
    "AdminConfig",
    "ProviderConfig",
    "ModelFilter",
    "ModelConfig",
    "ModelDefaults",
    "TargetConfig",
    "Condition",
    "Fallbacks",
    "TimeoutsConfig",
    "ConnectionsConfig",
    "RetriesConfig",
    "BreakerConfig",
    "HedgingConfig",
    "HealthConfig",
    "SheddingConfig",
    "PricesConfig",
    "PriceConfig",
    "RatesConfig",
    "RecordsConfig",
    "AuthConfig",
    "TelemetryConfig",
]


class Config(Section):
    """The whole configuration; every key is optional."""

    grpc: Annotated[GrpcConfig, Field(description="The gRPC listener.")] = GrpcConfig()
    http: Annotated[HttpConfig, Field(description="The HTTP listener.")] = HttpConfig()
    admin: Annotated[AdminConfig, Field(description="The operators' API.")] = AdminConfig()
    providers: Annotated[tuple[ProviderConfig, ...], Field(description="The upstreams.")] = ()
    default_model: Annotated[
        ModelId | None,
        Field(
            description="The model that `default` stands for. Without a file and with discovery, `local/smollm2-135m`."
        ),
    ] = None
    models: Annotated[tuple[ModelConfig, ...], Field(description="The models that callers use.")] = ()
    direct_models: Annotated[
        Flag, Field(description="Whether PROVIDER/UPSTREAM_MODEL is a model as well, split at the first slash.")
    ] = True
    discovery: Annotated[
        Literal["auto", "off"],
        Field(
            description="Whether providers are found by the keys in the environment, and Ollama and the embedded model "
            "on this machine. The default is `off` with a file, `auto` without one."
        ),
    ] = "off"
    timeouts: Annotated[TimeoutsConfig, Field(description="Time limits of a call.")] = TimeoutsConfig()
    connections: Annotated[ConnectionsConfig, Field(description="Connections to providers.")] = ConnectionsConfig()
    retries: Annotated[RetriesConfig, Field(description="How often a call is tried.")] = RetriesConfig()
    breaker: Annotated[BreakerConfig, Field(description="When a failing target is left alone.")] = BreakerConfig()
    hedging: Annotated[HedgingConfig, Field(description="Second attempts beside slow ones.")] = HedgingConfig()
    health: Annotated[HealthConfig, Field(description="Probes of the providers.")] = HealthConfig()
    shedding: Annotated[SheddingConfig, Field(description="Refusing calls under overload.")] = SheddingConfig()
    prices: Annotated[PricesConfig, Field(description="What tokens cost.")] = PricesConfig()
    records: Annotated[RecordsConfig, Field(description="What is kept of calls.")] = RecordsConfig()
    auth: Annotated[AuthConfig, Field(description="Who may call.")] = AuthConfig()
    limits: Limits = ()
    telemetry: Annotated[TelemetryConfig, Field(description="Logs and traces.")] = TelemetryConfig()

    def read_at_start(self) -> Mapping[str, object]:
        """What is read once, by section: a change of it needs another start."""
        return {
            "grpc": self.grpc.model_dump(exclude={"max_in_flight", "predrain", "grace"}),
            **{name: getattr(self, name).model_dump() for name in ("http", "admin", "records", "telemetry")},
        }


def config_schema() -> dict[str, Any]:
    """The JSON Schema of the configuration file, as it is written: durations may be text, secrets `{file: PATH}`."""
    schema = _standard(Config.model_json_schema(mode="validation"))
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def keys_at(path: tuple[str | int, ...]) -> list[str]:
    """The keys that the schema knows in the mapping at a path; none where no such mapping is."""
    section: type[Section] | None = Config
    for key in path:
        if isinstance(key, str):
            field = section.model_fields.get(key) if section else None
            section = _section_in(field.annotation) if field else None
    return list(section.model_fields) if section else []


def _section_in(annotation: Any) -> type[Section] | None:
    """The section that a value, or each entry of a list, is."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return next((section for choice in get_args(annotation) if (section := _section_in(choice))), None)


_STANDARD_WORDS: Final = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum"}


def _standard(node: Any) -> Any:
    """Renames the bounds that pydantic leaves under its own names where a value is read before it is checked."""
    if isinstance(node, list):
        return [_standard(entry) for entry in node]
    if isinstance(node, dict):
        return {_STANDARD_WORDS.get(key, key): _standard(value) for key, value in node.items() if key != "title"}
    return node
