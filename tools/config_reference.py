"""Writes docs/configuration.md from the configuration's schema; with `--check`, fails if the page is not up to date."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from llmproxy_grpc.config.durations import spell_duration
from llmproxy_grpc.config.not_built import built_values
from llmproxy_grpc.config.schema import config_schema

PAGE = Path(__file__).resolve().parent.parent / "docs" / "configuration.md"

PROSE = """\
<!-- Written by tools/config_reference.py from the schema; change that, not this. -->

# Configuration

`llmproxy check-config` names the faults of a configuration with file, line, path and value: those of single values
first, then, once there are none, what does not fit together, such as a name that is not there. `llmproxy
config-schema` prints the JSON Schema, which editors use to complete and check keys. Every key is optional: without
any configuration the server listens on this machine alone and looks for providers by itself.

```yaml
providers:
  - name: openai
    kind: openai
    api_key: ${OPENAI_API_KEY}
  - name: vllm
    kind: openai
    preset: vllm
    base_url: http://127.0.0.1:8000/v1
default_model: assistant
models:
  - id: assistant
    targets:
      - {provider: openai, model: gpt-5-mini}
      - {provider: vllm, model: qwen3-8b}
```

## Where it comes from

Later wins:

1. The defaults below.
2. One file, YAML or (named `*.json`) JSON: that of `-c FILE`, else of the variable `LLMPROXY_CONFIG`, else
   `llmproxy.yaml` in the working folder, else none. It is UTF-8 text of at most 1 MiB.
3. Environment variables: `LLMPROXY_` and the path in capitals, with `__` between the keys, such as
   `LLMPROXY_GRPC__LISTEN`. A variable counts only if its first segment is a top-level key, and is a fault
   if that is nearly one; the value is YAML.
4. The command line: `--set PATH=VALUE`, as often as needed, such as `--set grpc.listen=127.0.0.1:0`; the value is
   YAML.

Mappings merge key by key; lists are replaced whole. Unknown keys, duplicate keys, YAML tags, anchors and aliases are
errors. Plain words are read by YAML 1.2: `off`, `on`, `yes` and `no` are words, `true` and `false` the truth values.
An IPv6 address begins with a bracket, so it wants quotes: `"[::1]:50051"`.

A key whose feature is **not built yet** is an error unless it has the value that asks for nothing, such as one worker:
nothing that is configured is silently ignored.

## Variables in the file

In strings of the file, `${NAME}` stands for an environment variable, which must be set; `${NAME:-default}` for the
variable, or the default if it is unset or empty; `$$` for a dollar. What a variable holds is text, never more YAML;
where a number or a truth value is wanted, the text may spell one.

## Secrets

In place of a secret, `{file: PATH}` reads it from a file: the whole text, but for one line break at its end. A
relative path starts at the configuration file's folder. This works in the file alone. Secrets are never shown: not in
faults, not in logs.

```yaml
providers:
  - name: claude
    kind: openai
    base_url: https://api.example.com/v1
    api_key: {file: /run/secrets/claude}
```

## Durations

A number of seconds, or a number and a unit: `250ms`, `30s`, `5m`, `1h`, `30d`.

## Listeners that are open to the network

Unix sockets and loopback addresses (`localhost`, `127.0.0.0/8`, `[::1]`) are this machine's own. Any other
`grpc.listen` needs `grpc.tls` with a `client_ca`, so that callers authenticate by certificate; `http.listen` has
neither, so it needs `grpc.insecure: true`, which waives the rule for both listeners: for servers behind something
that takes care of it. `grpc.health_listen` is exempt: it serves health alone.

## Reload

`SIGHUP`, or a change of the file or of one that holds a secret or prices, reloads the configuration without dropping
a call: it is checked, everything is built from it, it is put into force, and what it replaces is drained. A
configuration with faults changes nothing: the old one stays, the faults are logged and
`llmproxy_config_reloads_total{result="rejected"}` counts them. With one worker, changes of `grpc` (but for
`max_in_flight`, `predrain` and `grace`), `http`, `admin`, `records` and `telemetry` wait for a restart; the log says
`restart_needed`.

## Keys
"""


def main() -> int:
    """Writes the page, or compares it; the exit status."""
    page = reference()
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(page)
        return 0
    if PAGE.exists() and PAGE.read_text() == page:
        return 0
    print(f"{PAGE.name} is not up to date; run tools/config_reference.py", file=sys.stderr)
    return 1


def reference() -> str:
    """The whole page."""
    schema = config_schema()
    single = [row((key,), node) for key, node in schema["properties"].items() if target(schema, node) is None]
    sections = [f"\n### Single keys\n\n{TABLE_HEAD}{''.join(single)}"]
    for key, node in schema["properties"].items():
        if target(schema, node) is None:
            continue
        rows = [row(path, entry) for path, entry in leaves(schema, (key,), node)]
        # The schema says a section's description once if its class and its key have the same.
        meaning = node.get("description") or (target(schema, node) or {})["description"]
        sections.append(f"\n### {key}\n\n{meaning}\n\n{TABLE_HEAD}{''.join(rows)}")
    return PROSE + "".join(sections)


TABLE_HEAD = "| key | type | default | meaning |\n|---|---|---|---|\n"
REQUIRED = object()


def leaves(
    schema: dict[str, Any], path: tuple[str, ...], node: dict[str, Any]
) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every key at and below a path, with its schema; `[]` in a path stands for the entries of a list."""
    inner = target(schema, node)
    if inner is None:
        yield path, node
        return
    if "anyOf" in node:
        yield path, {**node, "x-type": "mapping"}
    if node.get("type") == "array":
        path = (*path[:-1], f"{path[-1]}[]")
    for key, child in inner["properties"].items():
        default = REQUIRED if key in inner.get("required", ()) else child.get("default")
        yield from leaves(schema, (*path, key), {**child, "default": default})


def target(schema: dict[str, Any], node: dict[str, Any]) -> dict[str, Any] | None:
    """The mapping that a key's value, or each of its entries, is; None for anything else."""
    for choice in (node, node.get("items", {}), *node.get("anyOf", ())):
        if "$ref" in choice:
            found: dict[str, Any] = schema["$defs"][choice["$ref"].rpartition("/")[2]]
            return found
    return None


def row(path: tuple[str, ...], node: dict[str, Any]) -> str:
    """One line of the table."""
    steps: list[str | int] = []
    for key in path:
        steps += [key.removesuffix("[]"), 0] if key.endswith("[]") else [key]
    meaning = node["description"] + not_built(built_values(tuple(steps)))
    return f"| `{'.'.join(path)}` | {type_of(node)} | {default_of(node)} | {meaning} |\n"


def not_built(values: Sequence[object] | None) -> str:
    """Says what of a key is not built yet."""
    if values is None:
        return ""
    useful = [value for value in values if value]
    return f" So far only `{useful[0]}`." if useful else " **Not built yet.**"


def type_of(node: dict[str, Any]) -> str:
    """What may be written."""
    choices = [choice for choice in node.get("anyOf", ()) if choice.get("type") != "null"]
    if "x-type" in node:
        return str(node["x-type"])
    if len(choices) == 1:
        return type_of({**node, **choices[0], "anyOf": ()})
    if "enum" in node:
        return ", ".join(f"`{value}`" for value in node["enum"])
    if node.get("type") == "array":
        return f"list of {type_of(node['items'])}" if node["items"] else "list"
    if node.get("type") == "object":
        values = [*node.get("patternProperties", {}).values(), node.get("additionalProperties")]
        return f"mapping to {type_of(values[0])}"
    words = {"integer": "whole number", "number": "number", "boolean": "true or false", "string": "text"}
    return words[node["type"]] + range_of(node)


def range_of(node: dict[str, Any]) -> str:
    """The bounds of a number."""
    least, above, most = node.get("minimum"), node.get("exclusiveMinimum"), node.get("maximum")
    if above is not None:
        return f", above {above} to {most}"
    if least is None:
        return ""
    return f", at least {least}" if most is None or most > 10**9 else f", {least} to {most}"


def default_of(node: dict[str, Any]) -> str:
    """What holds if the key is left out."""
    default = node.get("default")
    if default is REQUIRED:
        return "required"
    if type_of(node) == "duration" and default is not None:
        return f"`{spell_duration(default)}`"
    if default in ([], {}):
        return "empty"
    if isinstance(default, list):
        return ", ".join(f"`{entry}`" for entry in default)
    return f"`{'null' if default is None else str(default).lower() if isinstance(default, bool) else default}`"


if __name__ == "__main__":
    sys.exit(main())
