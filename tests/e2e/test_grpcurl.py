"""grpcurl against the running server, by reflection and by the descriptor set; the README's examples among others."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SERVICE = "llmproxy.v1.LlmProxyService"
PROTOSET = ("-protoset", "llmproxy_grpc/_gen/llmproxy_v1.protoset")
HELLO = {"model": "echo/echo", "messages": [{"role": "ROLE_USER", "parts": [{"text": "Good morning to you"}]}]}

schemas = pytest.mark.parametrize("schema", [(), PROTOSET], ids=["reflection", "protoset"])


def grpcurl(*arguments: str) -> subprocess.CompletedProcess:
    command = shutil.which("grpcurl", path=str(Path(sys.executable).parent))
    assert command, "no grpcurl: install the dev dependencies"
    return subprocess.run([command, *arguments], cwd=ROOT, capture_output=True, text=True, check=False, timeout=25)


def call(address: str, method: str, request: object, *flags: str) -> list[dict]:
    """Calls the method, and gives the messages of its answer."""
    run = grpcurl(*flags, "-plaintext", "-d", json.dumps(request), address, method)
    assert run.returncode == 0, run.stderr
    return messages_of(run.stdout)


def messages_of(output: str) -> list[dict]:
    """The JSON values of the output, which follow each other without commas."""
    decoder, messages = json.JSONDecoder(), []
    output = output.strip()
    while output:
        message, end = decoder.raw_decode(output)
        messages.append(message)
        output = output[end:].lstrip()
    return messages


def failure(address: str, method: str, request: object, *flags: str) -> dict:
    """Calls the method, and gives the status that it fails with, its details decoded."""
    run = grpcurl(*flags, "-plaintext", "-format-error", "-d", json.dumps(request), address, method)
    assert run.returncode != 0, run.stdout
    return json.loads(run.stderr)


def detail_of(status: dict, name: str) -> dict:
    return next(detail for detail in status["details"] if detail["@type"].endswith("/" + name))


def readme_examples() -> list[list[str]]:
    """The arguments of each grpcurl command in the README's fenced blocks, in order."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    return [command[1:] for block in blocks for command in commands_of(block) if command[:1] == ["grpcurl"]]


def commands_of(block: str) -> list[list[str]]:
    """Splits a block as a shell does: a command goes on over an open quote and a backslash at the end of a line."""
    commands, pending = [], ""
    for line in block.splitlines():
        pending += line.removeprefix("$ ") if not pending else line
        if pending.endswith("\\"):
            pending = pending[:-1]
            continue
        try:
            commands.append(shlex.split(pending, comments=True))
        except ValueError:  # an open quote
            pending += "\n"
            continue
        pending = ""
    return commands


def readme_cases() -> list:
    """Each example as it stands, and with the descriptor set where it names none and the set describes its service."""
    examples = readme_examples()
    offline = [each for each in examples if "-protoset" not in each and each[-1].startswith("llmproxy.")]
    return [
        *(pytest.param((), example, id=example[-1]) for example in examples),
        *(pytest.param(PROTOSET, example, id=f"{example[-1]}-protoset") for example in offline),
    ]


def test_the_readme_shows_grpcurl():
    methods = {argument for example in readme_examples() for argument in example}
    assert {f"{SERVICE}/ListModels", f"{SERVICE}/Chat", f"{SERVICE}/Stream", "grpc.health.v1.Health/Check"} <= methods


@pytest.mark.parametrize(("schema", "example"), readme_cases())
def test_the_readmes_examples_work(echo_server, schema, example):
    here = [re.sub(r"^(127\.0\.0\.1|localhost):\d+$", echo_server.grpc, argument) for argument in example]
    assert echo_server.grpc in here or "-protoset" in here
    run = grpcurl(*schema, *here)
    if "no-such-model" in " ".join(example):
        assert "MODEL_NOT_FOUND" in run.stderr
    else:
        assert run.returncode == 0, run.stderr
        assert run.stdout.strip()


@schemas
def test_the_service_is_described(echo_server, schema):
    listed = grpcurl(*schema, "-plaintext", echo_server.grpc, "list")
    assert SERVICE in listed.stdout.split(), listed.stderr
    described = grpcurl(*schema, "-plaintext", echo_server.grpc, "describe", SERVICE)
    assert "rpc Chat ( .llmproxy.v1.ChatRequest ) returns ( .llmproxy.v1.ChatResponse );" in described.stdout


@schemas
def test_models_are_listed(echo_server, schema):
    (answer,) = call(echo_server.grpc, f"{SERVICE}/ListModels", {}, *schema)
    assert {"assistant", "echo/echo"} <= {model["id"] for model in answer["models"]}


@schemas
def test_a_chat_is_answered(echo_server, schema):
    (answer,) = call(echo_server.grpc, f"{SERVICE}/Chat", HELLO, *schema)
    (candidate,) = answer["candidates"]
    assert candidate["message"]["parts"] == [{"text": "Good morning to you"}]
    assert candidate["finishReason"] == "FINISH_REASON_STOP"


@schemas
def test_a_stream_comes_to_its_end(echo_server, schema):
    events = call(echo_server.grpc, f"{SERVICE}/Stream", {"chat": HELLO}, *schema)
    assert "start" in events[0]
    assert "end" in events[-1]
    assert "".join(event["delta"]["text"] for event in events if "delta" in event) == "Good morning to you"


@schemas
def test_texts_become_vectors_and_a_prompt_is_counted(echo_server, schema):
    request = {"model": "echo/echo", "inputs": [{"text": "good"}, {"text": "morning"}], "dimensions": 2}
    (answer,) = call(echo_server.grpc, f"{SERVICE}/Embed", request, *schema)
    assert [len(embedding["values"]) for embedding in answer["embeddings"]] == [2, 2]
    (answer,) = call(echo_server.grpc, f"{SERVICE}/CountTokens", {"chat": HELLO}, *schema)
    assert answer == {"inputTokens": 4, "source": "USAGE_SOURCE_PROVIDER"}


@pytest.mark.parametrize("service", ["", SERVICE, "liveness", "provider/echo", "model/assistant"])
def test_health_is_checked(echo_server, service):
    (answer,) = call(echo_server.grpc, "grpc.health.v1.Health/Check", {"service": service})
    assert answer == {"status": "SERVING"}


def test_the_health_of_nothing_is_not_found(echo_server):
    assert failure(echo_server.grpc, "grpc.health.v1.Health/Check", {"service": "nothing"})["code"] == 5


@schemas
def test_an_error_shows_its_reason(echo_server, schema):
    status = failure(echo_server.grpc, f"{SERVICE}/Chat", {**HELLO, "model": "no-such-model"}, *schema)
    assert status["code"] == 5
    assert detail_of(status, "google.rpc.ErrorInfo")["reason"] == "MODEL_NOT_FOUND"
    assert detail_of(status, "google.rpc.ErrorInfo")["domain"] == "llmproxy"
    assert detail_of(status, "llmproxy.v1.ErrorDetail")["reason"] == "ERROR_REASON_MODEL_NOT_FOUND"


@schemas
def test_an_error_names_every_wrong_field(echo_server, schema):
    request = {"messages": [{"role": "ROLE_USER"}], "generation": {"temperature": -1}}
    status = failure(echo_server.grpc, f"{SERVICE}/Chat", request, *schema)
    assert status["code"] == 3
    fields = {violation["field"] for violation in detail_of(status, "google.rpc.BadRequest")["fieldViolations"]}
    assert {"model", "messages[0].parts", "generation.temperature"} <= fields


@schemas
def test_a_judgement_of_nothing_names_what_is_missing(echo_server, schema):
    status = failure(echo_server.grpc, f"{SERVICE}/RecordFeedback", {}, *schema)
    assert status["code"] == 3
    wrong = detail_of(status, "google.rpc.BadRequest")["fieldViolations"]
    assert {"record_id", "name"} <= {violation["field"] for violation in wrong}
