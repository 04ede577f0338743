"""Makes one configuration of its sources: defaults, the file, the environment, the command line; later wins."""

import os
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from functools import reduce
from pathlib import Path
from typing import Any, Final

from msgspec import Struct
from pydantic import ValidationError

from llmproxy_grpc.config.environment import read_environment, read_overrides
from llmproxy_grpc.config.faults import ConfigError, ConfigFault
from llmproxy_grpc.config.files import LARGEST_FILE, read_secrets, read_text, resolve_files
from llmproxy_grpc.config.interpolation import interpolate
from llmproxy_grpc.config.json_source import read_json
from llmproxy_grpc.config.not_built import refuse_not_built
from llmproxy_grpc.config.price_file import read_prices
from llmproxy_grpc.config.rules import ADVICE, RULES, Rule, check
from llmproxy_grpc.config.schema import Config, keys_at
from llmproxy_grpc.config.tree import KeyPath, Node, Problem, Source, locate, merge, plain
from llmproxy_grpc.config.yaml_source import read_yaml

FILE_VARIABLE: Final = "LLMPROXY_CONFIG"
USUAL_FILE: Final = "llmproxy.yaml"
MOST_FAULTS: Final = 100
"""Enough to mend at a time; a file of nonsense has as many as it has lines."""
EMBEDDED_MODEL: Final = "local/smollm2-135m"
"""The default model of a server that was told nothing."""


class Loaded(Struct, frozen=True):
    """A configuration and where it comes from.

    Attributes:
        config: The valid configuration.
        file: Its file; None if there is none.
        further_files: What it names that was read as well: secrets and prices.
        warnings: What is allowed but not wise.
    """

    config: Config
    file: Path | None = None
    further_files: tuple[Path, ...] = ()
    warnings: tuple[ConfigFault, ...] = ()


def load(
    file: Path | None,
    overrides: Sequence[str],
    environ: Mapping[str, str],
    folder: Path,
    *,
    rules: Mapping[Rule, frozenset[str]] = RULES,
) -> Loaded:
    """Reads and checks the configuration.

    Args:
        file: The file that the command line names; None to look for one.
        overrides: `PATH=VALUE` of the command line.
        environ: The environment.
        folder: The working folder, where relative paths and the search for `llmproxy.yaml` start.
        rules: What must hold between the keys, each rule with the sections that it reads.

    Raises:
        ConfigError: Something is wrong; it holds every fault that was found, or the first hundred.
    """
    faults: list[ConfigFault] = []
    chosen = _choose(file, environ, folder)
    base = Node({}, Source("configuration", folder))
    written = base if chosen is None else _read_file(chosen, folder, faults)
    layers = [*read_environment(environ, folder, faults), *read_overrides(overrides, folder, faults)]
    if written is None:
        raise ConfigError(faults)
    root = _with_defaults(reduce(merge, layers, written), has_file=chosen is not None)
    problems: list[Problem] = []
    further_files: list[Path] = []
    root = interpolate(root, environ, problems)
    root = resolve_files(read_secrets(root, problems, further_files), problems)
    root = read_prices(root, problems, faults, further_files)
    config = _validate(root, problems, rules)
    faults += _unseen(faults, [locate(root, problem) for problem in problems])
    if faults:
        raise ConfigError(sorted(faults, key=lambda fault: _order(fault, chosen))[:MOST_FAULTS])
    warnings = tuple(locate(root, problem) for problem in check(config, ADVICE))
    return Loaded(config, None if chosen is None else folder / chosen, tuple(further_files), warnings)


def _choose(file: Path | None, environ: Mapping[str, str], folder: Path) -> Path | None:
    if file is not None:
        return file
    if environ.get(FILE_VARIABLE):
        return Path(environ[FILE_VARIABLE])
    # A link that leads nowhere is a fault to report, not a missing file.
    return Path(USUAL_FILE) if os.path.lexists(folder / USUAL_FILE) else None


def _read_file(file: Path, folder: Path, faults: list[ConfigFault]) -> Node | None:
    """The file's tree; None if it cannot be read."""
    path = folder / file
    source = Source(str(file), path.parent, is_file=True)
    try:
        text = read_text(path, LARGEST_FILE)
    except ValueError as error:
        faults.append(ConfigFault(source.name, None, "", None, str(error)))
        return None
    node = (read_json if file.suffix.lower() == ".json" else read_yaml)(text, source, faults)
    if node is None:
        return None
    if node.value is None:
        # Half-written, most often: taken for "all defaults", it would drop every model of a running server.
        faults.append(ConfigFault(source.name, None, "", None, "is empty; write {} if the defaults are meant"))
        return None
    if not isinstance(node.value, Mapping):
        faults.append(ConfigFault(source.name, node.line, "", None, "must be a mapping of the configuration's keys"))
        return None
    return node


def _with_defaults(root: Node, *, has_file: bool) -> Node:
    """Adds the defaults that depend on whether there is a file: without one, the server finds out what it can serve."""
    if has_file or not isinstance(root.value, Mapping):
        return root
    source = Source("default", root.source.folder)
    defaults = Node({"discovery": Node("auto", source)}, source)
    root = merge(defaults, root)
    told = {key: plain(node) for key, node in root.value.items()} if isinstance(root.value, Mapping) else {}
    if told.get("discovery") != "auto" or told.get("direct_models") is False:
        return root
    return merge(Node({"default_model": Node(EMBEDDED_MODEL, source)}, source), root)


def _validate(root: Node, problems: list[Problem], rules: Mapping[Rule, frozenset[str]]) -> Config:
    """The typed configuration; adds what is wrong to `problems`, and then leaves out the sections concerned."""
    values: Any = plain(root)
    wrong: frozenset[str] = frozenset()
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        entries = _causes(error.errors(include_url=False, include_input=False))
        found = [_problem(entry) for entry in entries[:MOST_FAULTS]]
        problems += _news(found, problems)
        wrong = frozenset(str(entry["loc"][0]) for entry in entries)
        config = Config.model_validate({key: value for key, value in values.items() if key not in wrong})
    problems += _news(refuse_not_built(root), problems)
    problems += _news(check(config, rules, wrong), problems)
    return config


def _causes(entries: Sequence[Any]) -> list[Any]:
    """Leaves out that a list is too short where that is only since what is in it is wrong."""
    places = [entry["loc"] for entry in entries]
    return [
        entry
        for entry, place in zip(entries, places, strict=True)
        if entry["type"] != "too_short" or not any(other != place and other[: len(place)] == place for other in places)
    ]


def _news(found: Sequence[Problem], problems: Sequence[Problem]) -> list[Problem]:
    """Leaves out problems of places that are a problem already, or lie inside one."""
    known = {problem.path for problem in problems}
    return [
        problem
        for problem in found
        if not any(problem.path[:length] in known for length in range(1, len(problem.path) + 1))
    ]


def _order(fault: ConfigFault, file: Path | None) -> tuple[bool, bool, str, int]:
    """The file by its lines, then the environment, then the command line."""
    return fault.source != str(file), fault.source == "--set", fault.source, fault.line or 0


def _unseen(faults: Sequence[ConfigFault], further: Sequence[ConfigFault]) -> list[ConfigFault]:
    """Leaves out what only follows from a fault of reading the same value."""
    seen = {(fault.source, fault.path) for fault in faults}
    return [fault for fault in further if (fault.source, fault.path) not in seen]


_WORDS: Final = {
    "missing": "is required",
    "model_type": "must be a mapping",
    "dict_type": "must be a mapping",
    "mapping_type": "must be a mapping",
    "tuple_type": "must be a list",
    "too_short": "must not be empty",
    "string_type": "must be text; quote it",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
}


def _problem(entry: Any) -> Problem:
    """Says in the operator's words what pydantic found."""
    path: KeyPath = tuple(key for key in entry["loc"] if key != "[key]")
    context = entry.get("ctx", {})
    if entry["type"] == "extra_forbidden":
        return Problem(path, _unknown_key(path), hidden=True)
    if entry["type"] == "value_error":
        return Problem(path, str(context["error"]))
    if entry["type"] == "literal_error":
        return Problem(path, f"must be {context['expected']}")
    if entry["type"] == "string_pattern_mismatch":
        return Problem(path, f"must match {context['pattern']}")
    message = entry["msg"].replace("Input should be", "must be").replace("should", "must", 1)
    return Problem(path, _WORDS.get(entry["type"], message))


def _unknown_key(path: KeyPath) -> str:
    known = keys_at(path[:-1])
    close = get_close_matches(str(path[-1]), known, n=1, cutoff=0.7)
    return (
        f"is an unknown key; did you mean {close[0]}?" if close else f"is an unknown key; known are {', '.join(known)}"
    )
