"""The documentation, held against the code: what can run runs, what repeats the code equals it."""

import json
import os
import re
import shlex
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain
from pathlib import Path

import grpc
import pytest
import yaml
from llmproxy_client import collect, connect, error_detail, stream
from llmproxy_client.v1.chat_pb2 import ChatRequest
from llmproxy_client.v1.content_pb2 import ROLE_USER, ContentPart, Message

from llmproxy_grpc.calls import ANONYMOUS, Attempt, Call, Outcome
from llmproxy_grpc.config.loader import Loaded, load
from llmproxy_grpc.errors import ProxyError
from llmproxy_grpc.messages import Cost, Usage
from llmproxy_grpc.providers import local
from llmproxy_grpc.providers.chat_completions.quirks import Quirks
from llmproxy_grpc.providers.http import HttpClient
from llmproxy_grpc.providers.presets import PRESETS, Preset
from llmproxy_grpc.providers.registry import KINDS, build
from llmproxy_grpc.server.status import PUSHBACK_KEY, TABLE, rich_status
from llmproxy_grpc.telemetry.families import Exposition
from llmproxy_grpc.telemetry.metrics import Metrics
from llmproxy_grpc.workers.totals import Totals

ROOT = Path(__file__).resolve().parents[2]
QUICK_START = "docs/QUICK_START.md"
PROJECT = "docs/PROJECT_DOCUMENTATION.md"
PROVIDERS = "docs/providers.md"
PAGES = ("README.md", QUICK_START, PROJECT, PROVIDERS, "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md")
CLIENT_PAGES = ("clients/python/README.md", "clients/go/README.md")

# The files and variables that the configurations of the pages name.
FILES = ("server.pem", "server.key", "callers.pem", "tls/server.pem", "tls/server.key", "tls/callers.pem")
FILES += ("secrets/openai", "secrets/aws-key-id", "secrets/aws-secret-key", "models/qwen3-0.6b.gguf")
VARIABLES = ("ANTHROPIC_API_KEY", "GEMINI_API_KEY", "MISTRAL_API_KEY", "COHERE_API_KEY", "AZURE_OPENAI_API_KEY")
VARIABLES += ("OPENAI_API_KEY", "OPENAI_KEY_1", "OPENAI_KEY_2", "GROQ_API_KEY", "LINES_API_KEY", "CENTRAL_API_KEY")
TYPED_BY_ANOTHER = re.compile(r"--ca-file|--watch|--target")


def page(name: str) -> str:
    return (ROOT / name).read_text()


def blocks(name: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page(name), re.MULTILINE | re.DOTALL)


def named(names: tuple[str, ...], language: str) -> list:
    """The blocks of several pages as parameters of a test."""
    found = [(name, block) for name in names for block in blocks(name, language)]
    return [pytest.param(block, id=f"{Path(name).name}-{at}") for at, (name, block) in enumerate(found)]


def rows(name: str, first_column: str) -> list[list[str]]:
    """The cells of the table whose head begins with this column."""
    table = re.search(rf"^\| {first_column} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", page(name), re.MULTILINE)
    assert table, f"{name} has no table that begins with {first_column}"
    return [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in table[1].splitlines()]


def at_server(text: str, address: str) -> str:
    """A text that speaks to a server of the test instead of the usual one."""
    return text.replace("127.0.0.1:50051", address).replace("connect()", f'connect("{address}")')


# What can run


@pytest.mark.parametrize("program", named(("README.md", QUICK_START, CLIENT_PAGES[0]), "python"))
def test_the_python_programs_run(echo_server, program):
    command = [sys.executable, "-W", "error", "-c", at_server(program, echo_server.grpc)]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=25)
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.strip()


def ctl_commands() -> list[list[str]]:
    lines = [line for name in ("README.md", QUICK_START) for block in blocks(name, "sh") for line in block.splitlines()]
    return [
        shlex.split(line)[1:] for line in lines if line.startswith("llmproxyctl ") and not TYPED_BY_ANOTHER.search(line)
    ]


@pytest.mark.parametrize("arguments", ctl_commands(), ids=lambda arguments: " ".join(arguments)[:40])
def test_the_commands_of_llmproxyctl_work(echo_server, arguments):
    environment = {**os.environ, "LLMPROXY_TARGET": echo_server.grpc}
    command = [sys.executable, "-m", "llmproxy_client.ctl", *arguments]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=25)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip()


def configurations() -> list:
    return [entry for entry in named(PAGES, "yaml") if entry.values[0].startswith("# llmproxy.yaml\n")]


def loaded(text: str, folder: Path) -> Loaded:
    for name in FILES:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("test-key\n")
    (prices,) = (block for block in blocks(PROJECT, "yaml") if block.startswith("# prices.yaml\n"))
    (folder / "prices.yaml").write_text(prices)
    (folder / "llmproxy.yaml").write_text(text)
    return load(None, [], dict.fromkeys(VARIABLES, "test-key"), folder)


@pytest.mark.parametrize("text", configurations())
async def test_the_configurations_are_valid_and_their_providers_can_be_built(text, tmp_path):
    loading = loaded(text, tmp_path)
    assert loading.warnings == ()
    http = HttpClient(connect_timeout=1)
    for provider in loading.config.providers:
        if provider.kind in KINDS and (provider.kind != "local" or local.available(provider.model_file)):
            await build(provider, http).aclose()
    await http.aclose()


def test_every_yaml_block_names_its_file_and_can_be_read():
    for name in PAGES:
        for block in blocks(name, "yaml"):
            assert re.match(r"# [a-z]+\.yaml\b", block), f"{name}: {block[:40]!r}"
            yaml.safe_load(block)


def test_the_log_line_is_json():
    (line,) = blocks(PROJECT, "json")
    assert json.loads(line)["event"] == "call"


def test_the_go_snippet_is_part_of_the_example():
    (snippet,) = blocks("README.md", "go")
    rest = iter(line.strip() for line in page("clients/go/example/main.go").splitlines())
    for line in filter(None, map(str.strip, snippet.splitlines())):
        assert line in rest, line


# A provider in a package of its own


class LinesService(BaseHTTPRequestHandler):
    """The service that the page supposes: one JSON object a line."""

    def do_GET(self):
        self._answer([["tiny"]])

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.headers["authorization"] != "Bearer test-key":
            self._answer([{"error": {"message": "no such key"}}], status=401)
            return
        words = [{"text": word} for word in (asked["model"], " heard", f" {asked['prompt']}")]
        end = [] if "half" in asked["prompt"] else [{"done": True, "input_tokens": 3, "output_tokens": 4}]
        self._answer([*words, *end])

    def log_message(self, *_arguments):
        pass

    def _answer(self, lines, status=200):
        self.send_response(status)
        self.end_headers()
        self.wfile.write(b"".join(json.dumps(line).encode() + b"\n" for line in lines))


@pytest.fixture
def lines_service() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), LinesService) as service:
        thread = threading.Thread(target=service.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"127.0.0.1:{service.server_port}"
        service.shutdown()
        thread.join()


@pytest.fixture
def lines_package(tmp_path: Path) -> Path:
    """The folder where the page's package is installed."""
    (module,) = blocks(PROVIDERS, "python")
    (project,) = (tomllib.loads(block)["project"] for block in blocks(PROVIDERS, "toml"))
    folder = tmp_path / "site"
    info = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir(parents=True)
    (folder / "llmproxy_lines.py").write_text(module)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    groups = project["entry-points"].items()
    text = "".join(
        f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in entries.items()) for group, entries in groups
    )
    (info / "entry_points.txt").write_text(text)
    return folder


def ask(prompt: str, **settings) -> ChatRequest:
    messages = [Message(role=ROLE_USER, parts=[ContentPart(text=prompt)])]
    return ChatRequest(model="lines/tiny", messages=messages, generation=settings)


def test_the_provider_of_the_page_serves(serve, lines_package, lines_service, monkeypatch):
    (text,) = (block for block in blocks(PROVIDERS, "yaml") if "kind: lines" in block)
    monkeypatch.setenv("PYTHONPATH", str(lines_package))
    monkeypatch.setenv("LINES_API_KEY", "test-key")
    text = text.replace("127.0.0.1:9000", lines_service)
    server = serve(text, "--set", "grpc.listen=127.0.0.1:0", "--set", "grpc.predrain=0", "--set", "http.listen=null")
    assert "model lines/tiny" in server.stdout.read_text().splitlines()
    with connect(server.grpc) as client:
        answer = client.stub.Chat(ask("hello", max_output_tokens=5), timeout=10)
        with stream(client.stub, ask("hello"), timeout=10) as events:
            streamed = collect(events)
        failures = []
        for wrong in (ask("hello", temperature=0.5), ask("half")):
            with pytest.raises(grpc.RpcError) as raised, stream(client.stub, wrong, timeout=10) as events:
                collect(events)
            failures.append(error_detail(raised.value).reason)
    assert answer.candidates[0].message.parts[0].text == "tiny heard hello"
    assert streamed.candidates == answer.candidates
    assert streamed.usage == answer.usage
    assert failures == ["UNSUPPORTED_PARAMETER", "UPSTREAM_STREAM_BROKEN"]


# What repeats the code


def a_call() -> Call:
    return Call("id", "Chat", "request", ANONYMOUS, datetime.now(UTC), 0.0, 1.0)


def error_classes() -> dict[str, type[ProxyError]]:
    return {error.reason: error for error in TABLE}


def test_the_table_of_errors_is_that_of_the_server():
    documented = {reason.strip("`"): code.strip("`") for reason, code, *_ in rows(PROJECT, "reason")}
    assert documented == {error.reason: code.name for error, code in TABLE.items()}


def pushback(error: ProxyError, call: Call) -> str | None:
    value = dict(rich_status(error, call).trailing_metadata).get(PUSHBACK_KEY)
    return None if value is None else str(value)


def test_the_pushback_of_each_error_is_that_of_the_server():
    words = {(None, None): "none", ("-1", "-1"): "-1", ("-1", "7000"): "-1 or wait", ("1000", "7000"): "wait"}
    call = a_call()
    for reason, _, documented, *_ in rows(PROJECT, "reason"):
        error = error_classes()[reason.strip("`")]
        seen = pushback(error("Words."), call), pushback(error("Words.", retry_after=7.0), call)
        assert words[seen] == documented, reason


def changed_flags(quirks: Quirks, usual: Quirks) -> dict[str, object]:
    values = {name: getattr(quirks, name) for name in Quirks.__struct_fields__}
    return {name: value for name, value in values.items() if value != getattr(usual, name)}


def spelled_flag(name: str, value: object) -> str:
    if isinstance(value, bool):
        return f"`{name}`"
    return f"`{name}: {value.value if isinstance(value, Enum) else value}`"


def preset_row(preset: Preset) -> list[str]:
    changed = changed_flags(preset.quirks, Quirks())
    lacks = [f"`{name}`" for name, value in changed.items() if value is False or value == ""]
    besides = [spelled_flag(name, value) for name, value in changed.items() if value is not False and value != ""]
    address = f"`{preset.base_url}`" if preset.base_url else ""
    key = f"`{preset.key_variable}`" if preset.key_variable else ""
    return [f"`{preset.name}`", address, key, ", ".join(lacks), ", ".join(besides)]


def responses_row(preset: Preset) -> list[str]:
    changed = changed_flags(preset.responses, preset.quirks)
    lacks = [f"`{name}`" for name, value in changed.items() if value is False or value == ""]
    besides = [spelled_flag(name, value) for name, value in changed.items() if value is not False and value != ""]
    return [f"`{preset.name}`", ", ".join(lacks), ", ".join(besides)]


def test_the_table_of_presets_is_that_of_the_code():
    expected = [preset_row(preset) for preset in PRESETS.values()]
    assert rows(PROVIDERS, "preset") == expected, "\n".join(f"| {' | '.join(row)} |" for row in expected)


def test_the_table_of_presets_with_the_responses_api_is_that_of_the_code():
    expected = [responses_row(preset) for preset in PRESETS.values() if preset.responses is not None]
    found = rows(PROVIDERS, "preset, `api: responses`")
    assert found == expected, "\n".join(f"| {' | '.join(row)} |" for row in expected)


def test_every_quirk_flag_is_documented_with_its_default():
    def spelled(value):
        if isinstance(value, bool):
            return "on" if value else "off"
        return "none" if value == "" else str(value)

    usual = {name: getattr(Quirks(), name) for name in Quirks.__struct_fields__}
    plain = {name: value.value if isinstance(value, Enum) else value for name, value in usual.items()}
    expected = {f"`{name}`": spelled(value) for name, value in plain.items()}
    documented = {name: default.strip("`") for name, default, _ in rows(PROVIDERS, "flag")}
    assert documented == expected


def test_the_kinds_are_documented():
    assert {row[0].strip("`") for row in rows(PROVIDERS, "kind")} - {"yours"} == set(KINDS)


def existing_metrics() -> dict[str, set[str]]:
    """The labels of each metric that a server has after a call."""
    metrics, call = Metrics(lambda _: True, lambda _: True), a_call()
    metrics.call_started(call)
    metrics.first_output(call, 0.1)
    metrics.output(call, 0.1)
    metrics.attempt_ended(call, Attempt("echo", "echo", 0.1, usage=Usage(1, 1, 2, cost=Cost("USD", 1))))
    metrics.call_ended(call, Outcome("OK", "", 0.1))
    metrics.providers_up({"echo": True})
    metrics.circuits({"echo": "closed"})
    metrics.config_reloaded("applied")
    metrics.record("dropped", "disk_full", 1)
    metrics.spooled(1)
    found = Exposition(chain(metrics.families.found(), Totals(list).found())).collect()
    families = {family.name + ("_total" if family.type == "counter" else ""): family for family in found}
    return {name: set(family.samples[0].labels) - {"le"} for name, family in families.items()}


def test_the_table_of_metrics_and_labels_is_that_of_the_server():
    documented = {
        metric.strip("`"): set(filter(None, labels.split(", "))) for metric, labels, _ in rows(PROJECT, "metric")
    }
    assert documented == existing_metrics()


@pytest.mark.parametrize("name", PAGES)
def test_the_metrics_named_exist(name):
    pattern = r"\bllmproxy_[a-z_]+_(?:total|seconds|in_flight|up|lag|info|bytes)(?:_bucket|_count|_sum)?\b"
    used = {re.sub(r"_(bucket|count|sum)$", "", metric) for metric in re.findall(pattern, page(name))}
    assert used <= set(existing_metrics())


def test_the_events_of_the_log_are_those_that_exist():
    sources = "".join(path.read_text() for path in (ROOT / "llmproxy_grpc").rglob("*.py"))
    (sentence,) = re.findall(r"^Other events: (.*?)\n\n", page(PROJECT), re.MULTILINE | re.DOTALL)
    events = set(re.findall(r"`([a-z_]+)`", sentence))
    assert len(events) > 5
    for event in events:
        assert f'"{event}"' in sources, event


def test_the_commands_named_exist():
    help_text = subprocess.run(
        [sys.executable, "-m", "llmproxy_grpc", "--help"], capture_output=True, text=True, check=True, timeout=25
    ).stdout
    commands = set(re.findall(r"^    ([a-z-]+)", help_text, re.MULTILINE))
    for name in PAGES:
        assert set(re.findall(r"(?:`|^)llmproxy ([a-z][a-z-]*)", page(name), re.MULTILINE)) <= commands, name


def test_the_make_targets_named_exist():
    targets = set(re.findall(r"^([a-z-]+):", page("Makefile"), re.MULTILINE))
    for name in (*PAGES, *CLIENT_PAGES, "docs/performance.md"):
        assert set(re.findall(r"(?:`|^)make ([a-z]+)", page(name), re.MULTILINE)) <= targets, name


# Links


def links() -> list:
    found = [
        (name, target)
        for name in (*PAGES, *CLIENT_PAGES, "docs/configuration.md", "docs/performance.md", "docs/export_dataset.md")
        for target in re.findall(r"\]\(([^)\s]+)\)", page(name))
        if not target.startswith(("http://", "https://"))
    ]
    return [pytest.param(name, target, id=f"{Path(name).name}-{target}") for name, target in dict.fromkeys(found)]


@pytest.mark.parametrize(("name", "target"), links())
def test_internal_links_lead_somewhere(name, target):
    path, _, anchor = target.partition("#")
    file = (ROOT / name).parent / path if path else ROOT / name
    assert file.exists()
    if anchor:
        assert anchor in anchors(file.read_text())


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as the usual renderers make them."""
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}
