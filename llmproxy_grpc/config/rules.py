"""What must hold between the parts of a configuration: names that exist, listeners that are safe."""

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Final
from urllib.parse import urlsplit

from llmproxy_grpc.config.addresses import UNIX, WORKER, clash, is_loopback, of_worker, parse_address
from llmproxy_grpc.config.prices import twice_priced
from llmproxy_grpc.config.schema import Config
from llmproxy_grpc.config.tree import KeyPath, Problem

Rule = Callable[[Config], Iterator[Problem]]


def unique_names(config: Config) -> Iterator[Problem]:
    """Providers and models have names of their own."""
    yield from _twice("providers", "name", [provider.name for provider in config.providers])
    yield from _twice("models", "id", [model.id for model in config.models])


def known_providers(config: Config) -> Iterator[Problem]:
    """A target's provider is configured, unless discovery may find it; no target is there twice."""
    for number, model in enumerate(config.models):
        targets = [(target.provider, target.model) for target in model.targets]
        for index, target in enumerate(targets):
            path: KeyPath = ("models", number, "targets", index)
            if not _may_exist(config, target[0]):
                yield Problem((*path, "provider"), f"is no provider; there are {_list(_providers(config))}")
            if target in targets[:index]:
                yield Problem(path, "is the same target as one before it")


def known_fallbacks(config: Config) -> Iterator[Problem]:
    """A fallback is another model that exists, named once."""
    for number, model in enumerate(config.models):
        causes: Mapping[KeyPath, Sequence[str]] = {
            ("fallback_models",): model.fallback_models,
            ("fallbacks", "context_length"): model.fallbacks.context_length,
            ("fallbacks", "prompt_blocked"): model.fallbacks.prompt_blocked,
        }
        for key, names in causes.items():
            for index, name in enumerate(names):
                path: KeyPath = ("models", number, *key, index)
                if name == model.id:
                    yield Problem(path, "is the model itself")
                elif name in names[:index]:
                    yield Problem(path, "is there twice")
                elif not _is_model(config, name):
                    yield Problem(path, _no_model(config))


def known_default_model(config: Config) -> Iterator[Problem]:
    """The default model exists."""
    if config.default_model is not None and not _is_model(config, config.default_model):
        yield Problem(("default_model",), _no_model(config))


def admitted_default_model(config: Config) -> Iterator[Problem]:
    """A default model that is called directly is not left out by its provider."""
    name, _, upstream_model = (config.default_model or "").partition("/")
    if not upstream_model or config.default_model in {model.id for model in config.models}:
        return
    for provider in config.providers:
        if provider.name == name and not provider.models.admits(upstream_model):
            yield Problem(("default_model",), f"is left out by the models of the provider {name}")


def safe_listeners(config: Config) -> Iterator[Problem]:
    """A listener that is open to the network has TLS and authentication, or `grpc.insecure` says that it need not.

    The plaintext listener for health is exempt: it serves nothing else.
    """
    if config.admin.listen is not None and not parse_address(config.admin.listen).is_loopback:
        yield Problem(("admin", "listen"), "must be a loopback address or unix:PATH")
    if config.grpc.insecure:
        return
    tls = config.grpc.tls
    is_safe = tls is not None and (tls.client_ca is not None or config.auth.mode != "none")
    for path, address in _listeners(config):
        if path[:2] == ("grpc", "listen") and not is_safe and not parse_address(address).is_loopback:
            yield Problem(
                path,
                "is open to the network: it needs grpc.tls with a client_ca, which counts as authentication, "
                "or grpc.insecure: true",
            )
        if path[0] == "http" and not parse_address(address).is_loopback:
            yield Problem(path, "is open to the network without TLS and authentication: it needs grpc.insecure: true")


def distinct_listeners(config: Config) -> Iterator[Problem]:
    """No two listeners want the same port or path."""
    listeners = [(path, parse_address(address)) for path, address in _listeners(config)]
    for (_, one), (path, other) in combinations(listeners, 2):
        if clash(one, other):
            yield Problem(path, "is taken by another listener")


def worker_listeners(config: Config) -> Iterator[Problem]:
    """Several workers can share a TCP port, but no socket of the file system; their own addresses are all well-formed.

    Only Linux spreads the connections of a port over those that share it.
    """
    grpc = config.grpc
    if grpc.workers == 1:
        return
    if sys.platform != "linux":
        yield Problem(("grpc", "workers"), "must be 1: only Linux spreads connections over several processes")
    for index, listen in enumerate(grpc.listen):
        path: KeyPath = ("grpc", "listen", index)
        if listen.startswith(UNIX) and WORKER not in listen:
            yield Problem(path, f"cannot be shared by {grpc.workers} workers: put {WORKER} into the path")
        elif (wrong := _malformed(listen, grpc.workers)) is not None:
            yield Problem(path, f"{wrong[1]}, for each worker: {wrong[0]}")
    for path, address in ((("grpc", "health_listen"), grpc.health_listen), (("admin", "listen"), config.admin.listen)):
        if address is not None and address.startswith(UNIX):
            yield Problem(path, f"cannot be shared by {grpc.workers} workers: it must be HOST:PORT")


def unique_prices(config: Config) -> Iterator[Problem]:
    """No model of a vendor has two prices from the same day on."""
    for number, first in twice_priced(config.prices.rows):
        yield Problem(("prices", "rows", number), f"prices a model of prices.rows[{first}] again, from the same day on")


def plaintext_keys(config: Config) -> Iterator[Problem]:
    """A key that crosses the network unencrypted can be read on the way."""
    for number, provider in enumerate(config.providers):
        url = urlsplit(provider.base_url or "")
        has_key = provider.api_key or provider.api_keys or provider.headers
        if has_key and url.scheme == "http" and not is_loopback(url.hostname or ""):
            yield Problem(("providers", number, "base_url"), "sends the provider's key or headers unencrypted")


RULES: Final[Mapping[Rule, frozenset[str]]] = {
    unique_names: frozenset(("providers", "models")),
    known_providers: frozenset(("providers", "models", "discovery")),
    known_fallbacks: frozenset(("providers", "models", "discovery", "direct_models")),
    known_default_model: frozenset(("providers", "models", "discovery", "direct_models", "default_model")),
    admitted_default_model: frozenset(("providers", "models", "default_model")),
    safe_listeners: frozenset(("grpc", "http", "admin", "auth")),
    distinct_listeners: frozenset(("grpc", "http", "admin")),
    worker_listeners: frozenset(("grpc", "admin")),
    unique_prices: frozenset(("prices",)),
}
"""Each rule and the sections that it reads: it waits until they are well-formed."""

ADVICE: Final[Mapping[Rule, frozenset[str]]] = {plaintext_keys: frozenset(("providers",))}
"""What is allowed but not wise."""


def check(config: Config, rules: Mapping[Rule, frozenset[str]], unread: frozenset[str] = frozenset()) -> list[Problem]:
    """What breaks the rules that read none of the sections in `unread`."""
    return [problem for rule, reads in rules.items() if not reads & unread for problem in rule(config)]


def _listeners(config: Config) -> Iterator[tuple[KeyPath, str]]:
    for index, listen in enumerate(config.grpc.listen):
        if _malformed(listen, config.grpc.workers) is None:
            for address in dict.fromkeys(of_worker(listen, number) for number in range(config.grpc.workers)):
                yield ("grpc", "listen", index), address
    for section, key, optional in (
        ("grpc", "health_listen", config.grpc.health_listen),
        ("http", "listen", config.http.listen),
        ("admin", "listen", config.admin.listen),
    ):
        if optional is not None:
            yield (section, key), optional


def _malformed(listen: str, workers: int) -> tuple[str, str] | None:
    """The first worker's address that is none, and what it must be."""
    for number in range(workers):
        try:
            of_worker(listen, number)
        except ValueError as error:
            return listen.replace(WORKER, str(number)), str(error)
    return None


def _twice(section: str, key: str, names: list[str]) -> Iterator[Problem]:
    repeated = {name for name, count in Counter(names).items() if count > 1}
    for index, name in enumerate(names):
        if name in repeated and name in names[:index]:
            yield Problem((section, index, key), f"is the same as in {section}[{names.index(name)}]")


def _is_model(config: Config, name: str) -> bool:
    if any(model.id == name for model in config.models):
        return True
    provider, slash, upstream_model = name.partition("/")
    return config.direct_models and bool(slash and upstream_model) and _may_exist(config, provider)


def _may_exist(config: Config, provider: str) -> bool:
    return config.discovery == "auto" or provider in _providers(config)


def _no_model(config: Config) -> str:
    direct = ", or PROVIDER/UPSTREAM_MODEL" if config.direct_models else ""
    return f"is no model; there are {_list([model.id for model in config.models])}{direct}"


def _providers(config: Config) -> list[str]:
    return [provider.name for provider in config.providers]


def _list(names: list[str]) -> str:
    return ", ".join([*dict.fromkeys(names)][:20]) or "none"
