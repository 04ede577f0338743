"""What the environment and the command line say: one value at one path each, written in YAML."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from llmproxy_grpc.config.faults import ConfigFault
from llmproxy_grpc.config.schema import Config
from llmproxy_grpc.config.tree import KeyPath, Node, Source
from llmproxy_grpc.config.yaml_source import read_yaml

PREFIX: Final = "LLMPROXY_"


def read_environment(environ: Mapping[str, str], folder: Path, faults: list[ConfigFault]) -> list[Node]:
    """The trees of all variables such as `LLMPROXY_GRPC__LISTEN`, the more specific later.

    Variables whose first segment is no top-level key of the configuration are somebody else's business, unless it is
    nearly one: then somebody has mistyped it.
    """
    found = []
    for name, text in environ.items():
        path = tuple(name.removeprefix(PREFIX).lower().split("__"))
        if not name.startswith(PREFIX) or name != name.upper():
            continue
        if path[0] in Config.model_fields:
            found.append((len(path), name, path, text))
        elif len(path) > 1 and (meant := get_close_matches(path[0], Config.model_fields, n=1)):
            message = f"is no key of the configuration; did you mean {PREFIX}{meant[0].upper()}__…?"
            faults.append(ConfigFault(name, None, path[0], None, message))
    return _trees([(Source(name, folder), path, text) for _, name, path, text in sorted(found)], faults)


def read_overrides(overrides: Sequence[str], folder: Path, faults: list[ConfigFault]) -> list[Node]:
    """The trees of the command line's `--set PATH=VALUE`, in their order."""
    source = Source("--set", folder)
    assignments: list[tuple[Source, KeyPath, str]] = []
    for override in overrides:
        path, equals, text = override.partition("=")
        if equals:
            assignments.append((source, tuple(path.strip().split(".")), text))
        else:
            faults.append(ConfigFault("--set", None, "", None, "must be PATH=VALUE, such as grpc.workers=1"))
    return _trees(assignments, faults)


def _trees(assignments: Sequence[tuple[Source, KeyPath, str]], faults: list[ConfigFault]) -> list[Node]:
    trees = (_tree(source, path, text, faults) for source, path, text in assignments)
    return [tree for tree in trees if tree is not None]


def _tree(source: Source, path: KeyPath, text: str, faults: list[ConfigFault]) -> Node | None:
    if not all(path) or len(path) > 8:
        faults.append(ConfigFault(source.name, None, "", None, "has a path with an empty or a superfluous segment"))
        return None
    node = read_yaml(text, source, faults, path)
    if node is None:
        return None
    for key in reversed(path):
        node = Node({str(key): node}, source)
    return node
