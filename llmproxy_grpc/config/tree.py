"""The configuration between reading and checking: a tree of plain values that knows where each of them was written."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from msgspec import Struct, structs

from llmproxy_grpc.config.faults import ConfigFault
from llmproxy_grpc.config.scalars import Scalar

KeyPath = tuple[str | int, ...]

SECRETS: Final = frozenset(
    (
        "providers[].api_key",
        "providers[].api_keys[]",
        "providers[].headers.*",
        "providers[].access_key_id",
        "providers[].secret_access_key",
        "providers[].session_token",
    )
)
"""Where secrets stand; a test compares this with the schema."""

_SECRET_KEYS: Final = frozenset(pattern.split(".")[1].removesuffix("[]") for pattern in SECRETS)
_ADDRESS_KEYS: Final = frozenset(("base_url", "store"))
_MAY_HOLD_SECRETS: Final = re.compile(r"[@?=]")
"""In an address, however it is misspelled: behind a user, in a query, as a setting."""
_HIDDEN: Final = "***"
_LONGEST_SHOWN: Final = 80


class Source(Struct, frozen=True):
    """What was read: its name as the operator knows it, and the folder where its relative paths start."""

    name: str
    folder: Path
    is_file: bool = False


class Node(Struct, frozen=True):
    """A value, where it was written (`line` from 1), and the text before variables were put into it."""

    value: "Scalar | tuple[Node, ...] | Mapping[str, Node]"
    source: Source
    line: int | None = None
    written: str | None = None


class Problem(Struct, frozen=True):
    """Something wrong at a path; `hidden` if the value there must not be shown."""

    path: KeyPath
    message: str
    hidden: bool = False


def merge(under: Node, over: Node) -> Node:
    """Lays one tree over another: mappings merge key by key, everything else is replaced whole."""
    if not (isinstance(under.value, Mapping) and isinstance(over.value, Mapping)):
        return over
    merged = dict(under.value)
    for key, node in over.value.items():
        merged[key] = merge(merged[key], node) if key in merged else node
    return structs.replace(under, value=merged)


def rewrite(node: Node, change: Callable[[KeyPath, Node], Node], path: KeyPath = ()) -> Node:
    """Passes every node through `change`, what is inside before what is around it."""
    if isinstance(node.value, Mapping):
        inner = {key: rewrite(child, change, (*path, key)) for key, child in node.value.items()}
        return change(path, structs.replace(node, value=inner))
    if isinstance(node.value, tuple):
        entries = tuple(rewrite(child, change, (*path, index)) for index, child in enumerate(node.value))
        return change(path, structs.replace(node, value=entries))
    return change(path, node)


def walk(node: Node, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Node]]:
    """Goes through every node, what is around before what is inside."""
    yield path, node
    if isinstance(node.value, Mapping):
        for key, child in node.value.items():
            yield from walk(child, (*path, key))
    elif isinstance(node.value, tuple):
        for index, child in enumerate(node.value):
            yield from walk(child, (*path, index))


def plain(node: Node) -> object:
    """The bare values of a tree."""
    if isinstance(node.value, Mapping):
        return {key: plain(child) for key, child in node.value.items()}
    if isinstance(node.value, tuple):
        return tuple(plain(child) for child in node.value)
    return node.value


def patterns(path: KeyPath) -> tuple[str, str]:
    """The patterns that a path fits, such as `providers[].headers.x-team` and `providers[].headers.*`."""
    if not path:
        return "", ""
    around = "".join("[]" if isinstance(key, int) else f".{key}" for key in path[:-1])
    last = "[]" if isinstance(path[-1], int) else f".{path[-1]}"
    return f"{around}{last}".lstrip("."), f"{around}.*".lstrip(".")


def spell(path: KeyPath) -> str:
    """Spells a path the way operators do: `providers[0].kind`."""
    spelled = ""
    for key in path:
        if isinstance(key, int):
            spelled += f"[{key}]"
            continue
        word = key if re.fullmatch(r"[\w-]{1,64}", key) else json.dumps(key[:64])
        spelled += f".{word}" if spelled else word
    return spelled


def locate(root: Node, problem: Problem) -> ConfigFault:
    """Says where a problem was written: at its path, or at what is nearest around it."""
    node, path, found = root, problem.path, True
    for depth, key in enumerate(problem.path):
        child = _child(node, key)
        if child is None:
            found = not isinstance(node.value, Mapping | tuple)
            path = problem.path[:depth] if found else path
            break
        node = child
    value = show(path, node) if found and path else None
    return ConfigFault(
        node.source.name, node.line, spell(path), _HIDDEN if problem.hidden and value else value, problem.message
    )


def show(path: KeyPath, node: Node) -> str | None:
    """A value for the operator's eyes, as one short line: no secret, and nothing of a container."""
    if isinstance(node.value, Mapping | tuple):
        return None
    text = json.dumps(node.value if node.written is None else node.written, ensure_ascii=False)
    if not _SECRET_KEYS.isdisjoint(path) or re.search(r"//.*@", text):
        return _HIDDEN
    if not _ADDRESS_KEYS.isdisjoint(path) and _MAY_HOLD_SECRETS.search(text):
        return _HIDDEN
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"


def _child(node: Node, key: str | int) -> Node | None:
    if isinstance(node.value, Mapping) and isinstance(key, str):
        return node.value.get(key)
    if isinstance(node.value, tuple) and isinstance(key, int) and key < len(node.value):
        return node.value[key]
    return None
