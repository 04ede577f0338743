"""The upstreams: what the section `providers` says of each."""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Annotated, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from llmproxy_grpc.config.scalars import number_in
from llmproxy_grpc.config.section import File, Secret, Section, Text, Whole

_FRAMING: Final = frozenset(("connection", "content-length", "host", "te", "trailer", "transfer-encoding", "upgrade"))
# Keys that mean something to some kinds alone; whatever else a kind from outside has, it has none of these.
_LOCAL: Final = frozenset({"local"})
_KINDS_WITH: Final[Mapping[str, frozenset[str]]] = {
    **dict.fromkeys(("model_file", "threads", "context_size", "parallel"), _LOCAL),
    **dict.fromkeys(("quirks", "api"), frozenset({"openai", "azure"})),
    "api_version": frozenset({"anthropic", "azure", "gemini"}),
    "deployment": frozenset({"azure"}),
    **dict.fromkeys(
        ("region", "profile", "access_key_id", "secret_access_key", "session_token"), frozenset({"bedrock"})
    ),
    **dict.fromkeys(("project", "location"), frozenset({"gemini"})),
    "preset": frozenset({"openai"}),
}
LARGEST_LIMIT: Final = 1_000_000
_ALONE: Final = frozenset({"local", "echo"})
"""Kinds that have no upstream."""
_REMOTE_KEYS: Final = frozenset(("base_url", "api_key", "api_keys", "headers", "preset"))
_OURS: Final = MappingProxyType(dict.fromkeys(("max_in_flight", "state", "models", "prices")))
"""The keys that say what we do with an upstream rather than what it is."""
_WHERE: Final = ("kind", "preset", "base_url", "region", "project", "location")
"""The keys that say which upstream it is."""


def _header(name: str) -> str:
    if name.lower() in _FRAMING:
        raise ValueError("is a header that the connection sets itself")
    return name


def _base_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        # Python's own words repeat what it takes for the port, which may be a password.
        raise ValueError("must have a host that can be read, and a port from 0 to 65535 if any") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("must begin with http:// or https:// and a host")
    if "@" in parts.netloc:
        raise ValueError("must not hold a user or password; use api_key or headers")
    if "?" in text or "#" in text or not text.isascii() or " " in text:
        raise ValueError("must be an address without query, fragment, space and non-ASCII letters")
    return text.rstrip("/")


def _max_in_flight(value: object) -> object:
    found = number_in(value)
    if found != "auto" and (type(found) is not int or not 1 <= found <= LARGEST_LIMIT):
        raise ValueError(f"must be a whole number from 1 to {LARGEST_LIMIT}, or auto")
    return found


def _quirk(value: object) -> object:
    found = number_in(value)
    if not isinstance(found, bool | int | str):
        raise ValueError("must be true, false, a whole number or text")  # noqa: TRY004 - pydantic collects ValueErrors alone
    return found


ProviderName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=64)]
HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$", max_length=128), AfterValidator(_header)]
Quirk = Annotated[
    bool | int | str,
    BeforeValidator(_quirk),
    WithJsonSchema({"type": ["boolean", "integer", "string"], "x-type": "true or false, whole number or text"}),
]
MaxInFlight = Annotated[
    int | Literal["auto"],
    BeforeValidator(_max_in_flight),
    WithJsonSchema(
        {
            "anyOf": [{"type": "integer", "minimum": 1, "maximum": LARGEST_LIMIT}, {"const": "auto"}],
            "x-type": "whole number, 1 to 1000000, or `auto`",
        }
    ),
]
Globs = tuple[Text, ...]


class ModelFilter(Section):
    """Which of a provider's own models may be called directly and are listed; patterns with `*`, `?` and `[…]`."""

    include: Annotated[Globs, Field(description="Patterns of the models to admit; empty: all.")] = ()
    exclude: Annotated[Globs, Field(description="Patterns of the models to leave out; they win.")] = ()

    def admits(self, name: str) -> bool:
        """Whether the upstream model of this name may be called directly and is listed; case counts."""
        if any(fnmatchcase(name, pattern) for pattern in self.exclude):
            return False
        return not self.include or any(fnmatchcase(name, pattern) for pattern in self.include)


class ProviderConfig(Section):
    """One upstream."""

    name: Annotated[ProviderName, Field(description="What it is called here: lower-case letters, digits and `-`.")]
    kind: Annotated[Text, Field(description="Which API it speaks, such as `openai`, `local`, `echo`.")]
    preset: Annotated[Text | None, Field(description="Quirks and defaults of a vendor, such as `vllm`.")] = None
    quirks: Annotated[
        Mapping[Text, Quirk],
        Field(description="Kinds `openai`, `azure`: flags in which this upstream differs from its preset."),
    ] = {}
    base_url: Annotated[
        Text | None,
        AfterValidator(lambda text: None if text is None else _base_url(text)),
        Field(description="Where it is: what the vendor's own SDK takes. Null: the vendor's address."),
    ] = None
    api_key: Annotated[Secret | None, Field(description="Our key.")] = None
    api_keys: Annotated[
        tuple[Secret, ...] | None, Field(min_length=1, description="Several keys that take turns, in place of one.")
    ] = None
    headers: Annotated[Mapping[HeaderName, Secret], Field(description="Further headers of every request.")] = {}
    max_in_flight: Annotated[
        MaxInFlight | None,
        Field(description="Most requests at a time; `auto`: learned from first-token times. Null: no limit."),
    ] = None
    state: Annotated[
        Literal["enabled", "draining", "disabled"],
        Field(description="Whether it gets calls; `draining` and `disabled`: no new ones. Operators may switch it."),
    ] = "enabled"
    models: Annotated[ModelFilter, Field(description="Which of its models may be called directly and are listed.")] = (
        ModelFilter()
    )
    prices: Annotated[
        Text | None,
        Field(
            description="Whose prices hold: a vendor of the price table, or `free`; null: by address, preset and kind."
        ),
    ] = None
    api: Annotated[
        Literal["chat", "responses"],
        Field(description="Which of the kind's APIs to call; the preset `perplexity` has `responses`."),
    ] = "chat"
    model_file: Annotated[File | None, Field(description="Kind `local`: the GGUF file; null: the model fetched.")] = (
        None
    )
    threads: Annotated[
        Whole | None, Field(ge=1, le=1024, description="Kind `local`: threads that compute; null: by the machine.")
    ] = None
    context_size: Annotated[
        Whole, Field(ge=256, le=2**24, description="Kind `local`: tokens of a prompt and its answer.")
    ] = 4096
    parallel: Annotated[Whole, Field(ge=1, le=256, description="Kind `local`: calls at a time; more of them wait.")] = 4
    api_version: Annotated[Text | None, Field(description="Version of the vendor's API.")] = None
    region: Annotated[
        Text | None, Field(description="Kind `bedrock`: the region; null: that of `AWS_REGION`, or of the profile.")
    ] = None
    project: Annotated[Text | None, Field(description="Kind `gemini`: project at Vertex AI; null: AI Studio.")] = None
    location: Annotated[
        Text | None,
        Field(description="Kind `gemini`: location at Vertex AI; null: `global`. Without a project: express mode."),
    ] = None
    deployment: Annotated[Text | None, Field(description="Kind `azure`: the only one; null: the model's name.")] = None
    profile: Annotated[Text | None, Field(description="Kind `bedrock`: a profile of AWS's tools.")] = None

    access_key_id: Annotated[Secret | None, Field(description="Kind `bedrock`: a key; null: the environment's.")] = None
    secret_access_key: Annotated[Secret | None, Field(description="Kind `bedrock`: its secret.")] = None
    session_token: Annotated[Secret | None, Field(description="Kind `bedrock`: of a temporary key.")] = None

    def does_as(self, other: "ProviderConfig") -> bool:
        """Whether what was learned of the other holds for this one: they differ at most in what we let it do."""
        return self.model_copy(update=_OURS) == other.model_copy(update=_OURS)

    def stands_where(self, other: "ProviderConfig") -> bool:
        """Whether both are the same upstream, whatever else has changed, such as a key: what runs there counts on."""
        return all(getattr(self, key) == getattr(other, key) for key in _WHERE)

    @model_validator(mode="after")
    def _keys_fit(self) -> Self:
        if self.api_key is not None and self.api_keys is not None:
            raise ValueError("has api_key and api_keys; keep one of them")
        strangers = {key for key, kinds in _KINDS_WITH.items() if self.kind not in kinds and self._sets(key)}
        if self.kind in _ALONE:
            strangers |= {key for key in _REMOTE_KEYS if self._sets(key)}
        if strangers:
            raise ValueError(f"of kind {self.kind} has no use for {', '.join(sorted(strangers))}; remove it")
        return self

    def _sets(self, key: str) -> bool:
        return key in self.model_fields_set and getattr(self, key) != self.__class__.model_fields[key].default
