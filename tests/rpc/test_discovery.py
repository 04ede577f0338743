from structlog.testing import capture_logs

from llmproxy_grpc._gen.v1 import health_pb2
from tests.fakes.requests import chat_request
from tests.fakes.scripted_provider import ScriptedProvider

# Discovery offers `local`, or `echo` in its place: under these names nothing is left for it to find on its own.
CONFIGURED = [{"name": name, "kind": "scripted"} for name in ("local", "echo", "ollama")]
MODELS = [{"id": "assistant", "targets": [{"provider": "echo", "model": "m"}]}]
AUTO = {"discovery": "auto", "providers": CONFIGURED, "models": MODELS}

HALF = {"AZURE_OPENAI_API_KEY": "AZURE_OPENAI_ENDPOINT", "AWS_BEARER_TOKEN_BEDROCK": "AWS_REGION"}
"""Keys that need another variable beside them."""


def scripted():
    return {name: ScriptedProvider(name) for name in ("local", "echo", "ollama")}


async def kinds(server):
    health = await server.stub.Health(health_pb2.HealthRequest())
    return {provider.provider: provider.kind for provider in health.providers}


async def test_configured_names_win_over_what_is_found(serve):
    async with serve(AUTO, providers=scripted()) as server:
        assert await kinds(server) == dict.fromkeys(("local", "echo", "ollama"), "scripted")
        assert (await server.stub.Chat(chat_request())).route.provider == "echo"


async def test_keys_of_kinds_that_are_not_built_are_warned_of_without_showing_them(serve):
    with capture_logs() as lines:
        async with serve(AUTO, providers=scripted(), environ=dict.fromkeys(HALF, "test-key")) as server:
            assert (await kinds(server)).keys() == {"local", "echo", "ollama"}
    warned = {line["variable"]: line for line in lines if line["event"] == "not_discovered"}
    assert warned.keys() == HALF.keys()
    for variable, line in warned.items():
        assert line["log_level"] == "warning"
        assert HALF[variable] in line["why"]
    assert "test-key" not in str(lines)


async def test_without_discovery_nothing_is_looked_for(serve):
    with capture_logs() as lines:
        async with serve(environ={"AZURE_OPENAI_API_KEY": "test-key", "OPENAI_API_KEY": "test-key"}) as server:
            assert await kinds(server) == {"scripted": "scripted"}
    assert [line for line in lines if line["event"] == "not_discovered"] == []


async def test_what_is_found_serves_beside_what_is_configured(serve):
    environ = {"OPENAI_API_KEY": "test-key", "OPENAI_BASE_URL": "http://127.0.0.1:1/v1"}
    async with serve(AUTO, providers=scripted(), environ=environ) as server:
        assert (await kinds(server))["openai"] == "openai"
