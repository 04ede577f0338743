"""Puts environment variables into the strings of the operator's file: `${NAME}` and `${NAME:-default}`."""

import re
from collections.abc import Mapping
from typing import Final

from msgspec import structs

from llmproxy_grpc.config.tree import KeyPath, Node, Problem, rewrite

_REFERENCE: Final = re.compile(
    r"\$(?:(?P<dollar>\$)|\{(?:(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}|(?P<broken>)))"
)


def interpolate(root: Node, environ: Mapping[str, str], problems: list[Problem]) -> Node:
    """The tree with variables put in; what comes from the environment or the command line stays as it is."""

    def change(path: KeyPath, node: Node) -> Node:
        if not isinstance(node.value, str) or not node.source.is_file or "$" not in node.value:
            return node
        try:
            text = _put_in(node.value, environ)
        except ValueError as error:
            problems.append(Problem(path, str(error)))
            return node
        return structs.replace(node, value=text, written=node.value)

    return rewrite(root, change)


def _put_in(text: str, environ: Mapping[str, str]) -> str:
    def value(reference: re.Match[str]) -> str:
        if reference["dollar"]:
            return "$"
        if reference["name"] is None:
            raise ValueError("has a ${ that is neither ${NAME} nor ${NAME:-default}; write $${ for the text ${")
        found = environ.get(reference["name"])
        if reference["default"] is not None:
            return found or reference["default"]
        if found is None:
            raise ValueError(f"needs the environment variable {reference['name']}, which is not set")
        return found

    return _REFERENCE.sub(value, text)
