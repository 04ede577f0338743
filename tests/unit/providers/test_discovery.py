import pytest

from llmproxy_grpc.providers.discovery import KEYED_KINDS, Discovery, discover, ollama_answers
from llmproxy_grpc.providers.http import HttpClient
from llmproxy_grpc.providers.presets import PRESETS
from llmproxy_grpc.providers.registry import build
from tests.fakes.faulty_upstream import Answer, Do, FaultyUpstream


async def _yes() -> bool:
    return True


async def _no() -> bool:
    return False


async def found(environ: dict[str, str], *, ollama: bool = False, local: bool = True) -> Discovery:
    return await discover(environ, ollama_reachable=_yes if ollama else _no, local_available=local)


async def test_without_anything_there_is_the_embedded_model():
    discovery = await found({})
    assert [(each.name, each.kind) for each in discovery.providers] == [("local", "local")]
    assert discovery.skipped == ()


async def test_where_the_embedded_model_cannot_run_echo_stands_in():
    assert [(each.name, each.kind) for each in (await found({}, local=False)).providers] == [("echo", "echo")]


async def test_each_key_is_a_provider():
    variables = {preset.key_variable for preset in PRESETS.values() if preset.key_variable}
    discovery = await found(dict.fromkeys(variables, "test-key"))
    names = {preset.name for preset in PRESETS.values() if preset.key_variable}
    assert {each.name for each in discovery.providers} == names | {"local"}
    assert discovery.skipped == ()


@pytest.mark.parametrize("keyed", KEYED_KINDS, ids=lambda keyed: keyed.kind)
async def test_each_key_of_a_kind_is_one_provider_of_it(keyed):
    needed = {keyed.address_variable: "https://x.test"} if keyed.needs_address else {}
    needed |= dict.fromkeys(keyed.region_variables, "eu-central-1")
    _, provider = (await found({**dict.fromkeys(keyed.key_variables, "test-key"), **needed})).providers
    assert (provider.name, provider.kind) == (keyed.kind, keyed.kind)
    assert provider.base_url == needed.get(keyed.address_variable)
    for variable in keyed.key_variables:
        elsewhere = {keyed.address_variable: "https://x.test"} if keyed.address_variable else {}
        elsewhere |= dict.fromkeys(keyed.region_variables, "eu-central-1")
        environ = {variable: " test-key\n", **elsewhere}
        _, provider = (await found(environ)).providers
        assert provider.api_key.get_secret_value() == "test-key"
        assert provider.base_url == ("https://x.test" if keyed.address_variable else None)


async def test_a_key_for_a_resource_that_is_not_named_is_skipped_aloud():
    (skipped,) = (await found({"AZURE_OPENAI_API_KEY": "test-key"})).skipped
    assert (skipped.variable, skipped.reason) == ("AZURE_OPENAI_API_KEY", "AZURE_OPENAI_ENDPOINT is not set")
    environ = {
        "AZURE_OPENAI_API_KEY": "test-key",
        "AZURE_OPENAI_ENDPOINT": "https://x.test",
        "OPENAI_API_VERSION": "v9",
    }
    _, azure = (await found(environ)).providers
    assert (azure.base_url, azure.api_version) == ("https://x.test", "v9")


async def test_a_token_without_a_region_is_skipped_aloud():
    (skipped,) = (await found({"AWS_BEARER_TOKEN_BEDROCK": "test-key"})).skipped
    assert (skipped.variable, skipped.reason) == ("AWS_BEARER_TOKEN_BEDROCK", "AWS_REGION is not set")


async def test_a_malformed_key_of_a_kind_is_skipped_without_showing_it():
    (skipped,) = (await found({"ANTHROPIC_API_KEY": "test\nkey"})).skipped
    assert (skipped.variable, "test" in skipped.reason) == ("ANTHROPIC_API_KEY", False)


async def test_what_is_found_can_be_built():
    keys = ("OPENAI_API_KEY", "GROQ_API_KEY", *(keyed.key_variables[0] for keyed in KEYED_KINDS))
    environ = {**dict.fromkeys(keys, "test-key"), "AZURE_OPENAI_ENDPOINT": "https://x.test", "AWS_REGION": "x"}
    discovery = await found(environ, ollama=True, local=False)
    http = HttpClient(connect_timeout=1)
    for config in discovery.providers:
        assert build(config, http).name == config.name
    await http.aclose()


@pytest.mark.parametrize("value", ["", " ", "\n"])
async def test_an_empty_key_is_none(value):
    assert len((await found({"OPENAI_API_KEY": value, "ANTHROPIC_API_KEY": value})).providers) == 1
    assert (await found({"OPENAI_API_KEY": value, "ANTHROPIC_API_KEY": value})).skipped == ()


async def test_space_around_a_key_is_not_part_of_it():
    _, openai = (await found({"OPENAI_API_KEY": " test-key\n"})).providers
    assert openai.api_key is not None
    assert openai.api_key.get_secret_value() == "test-key"


async def test_a_malformed_key_is_skipped_without_showing_it():
    discovery = await found({"OPENAI_API_KEY": "test\nkey"})
    assert len(discovery.providers) == 1
    (skipped,) = discovery.skipped
    assert skipped.variable == "OPENAI_API_KEY"
    assert "test" not in skipped.reason


async def test_a_key_for_another_address_goes_there_alone():
    environ = {"OPENAI_API_KEY": "test-key", "OPENAI_BASE_URL": "https://llm.example.test/v1"}
    _, openai = (await found(environ)).providers
    assert (openai.name, openai.base_url, openai.preset) == ("openai", "https://llm.example.test/v1", None)


async def test_a_malformed_address_is_skipped():
    discovery = await found({"OPENAI_API_KEY": "test-key", "OPENAI_BASE_URL": "llm.example.test"})
    assert [each.name for each in discovery.providers] == ["local"]
    assert [each.variable for each in discovery.skipped] == ["OPENAI_API_KEY"]


async def test_ollama_is_found_where_it_answers():
    _, ollama = (await found({}, ollama=True)).providers
    assert (ollama.name, ollama.kind, ollama.preset) == ("ollama", "ollama", None)


async def test_a_host_without_ollama_says_no_at_once():
    http = HttpClient(connect_timeout=1)
    assert await ollama_answers(http, "http://127.0.0.1:1/api/version") is False
    await http.aclose()


@pytest.mark.parametrize(
    ("answer", "answers"),
    [
        (Answer.json(b'{"version":"0.40.12"}'), True),
        (Answer.json(b"", status=500), False),
        (Answer(before_head=[Do.STALL]), False),
        (Answer(raw=[b"garbage\r\n\r\n"]), False),
    ],
)
async def test_ollama_answers_if_it_says_its_version_in_time(answer, answers):
    http = HttpClient(connect_timeout=1)
    async with FaultyUpstream() as upstream:
        upstream.script(answer)
        assert await ollama_answers(http, f"{upstream.url}/api/version") is answers
    await http.aclose()
