"""Reads the file that `prices.file` names into the configuration's tree, so that its faults have a file and a line."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from llmproxy_grpc.config.faults import ConfigFault
from llmproxy_grpc.config.files import LARGEST_FILE, read_text
from llmproxy_grpc.config.json_source import read_json
from llmproxy_grpc.config.tree import Node, Problem, Source, merge, spell
from llmproxy_grpc.config.yaml_source import read_yaml

PRICES: Final = ("prices",)
FILE: Final = ("prices", "file")


def read_prices(root: Node, problems: list[Problem], faults: list[ConfigFault], read: list[Path]) -> Node:
    """The tree with the file's rows at `prices.rows`.

    Args:
        root: The configuration, its files made absolute.
        problems: What is wrong with its keys; takes what is wrong with this one.
        faults: Takes what is wrong inside the file.
        read: Takes the file.
    """
    prices = _inside(root, "prices")
    named = _inside(prices, "file")
    if named is None or not isinstance(named.value, str) or not named.value:
        return root
    file = Path(named.value)
    read.append(file)
    if _inside(prices, "rows") is not None:
        problems.append(Problem(FILE, "is there beside prices.rows; keep one of them"))
    if any(problem.path == FILE for problem in problems):
        return root
    rows = _read(file, _source(named, file), problems, faults)
    return root if rows is None else merge(root, Node({"prices": Node({"rows": rows}, root.source)}, root.source))


def _inside(node: Node | None, key: str) -> Node | None:
    return node.value.get(key) if node is not None and isinstance(node.value, Mapping) else None


def _source(named: Node, file: Path) -> Source:
    """The file, called by its path beside the file that names it."""
    beside = Path(named.source.name).parent if named.source.is_file else Path()
    return Source(str(beside / str(named.written or named.value)), file.parent, is_file=True)


def _read(file: Path, source: Source, problems: list[Problem], faults: list[ConfigFault]) -> Node | None:
    try:
        text = read_text(file, LARGEST_FILE)
    except ValueError as error:
        problems.append(Problem(FILE, str(error)))
        return None
    tree = (read_json if file.suffix.lower() == ".json" else read_yaml)(text, source, faults, PRICES)
    if tree is None:
        return None
    if not isinstance(tree.value, Mapping) or "rows" not in tree.value:
        # An empty file is half-written, most often.
        faults.append(ConfigFault(source.name, tree.line, spell(PRICES), None, "must be a mapping with the key rows"))
        return None
    for key, node in tree.value.items():
        if key != "rows":
            fault = ConfigFault(source.name, node.line, spell((*PRICES, key)), None, "is an unknown key; known is rows")
            faults.append(fault)
    return tree.value["rows"]
