import re
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from llmproxy_grpc.config.addresses import TcpAddress, UnixAddress, is_loopback, parse_address
from llmproxy_grpc.config.not_built import NOT_BUILT
from llmproxy_grpc.config.schema import (
    Config,
    GrpcConfig,
    ModelDefaults,
    ModelFilter,
    ProviderConfig,
    config_schema,
    keys_at,
)
from llmproxy_grpc.config.tree import SECRETS
from llmproxy_grpc.messages import GenerationConfig

ROOT = Path(__file__).resolve().parents[3]


def provider(**keys):
    return ProviderConfig(name="p", **{"kind": "openai", **keys})


def test_the_defaults_are_the_contracts():
    config = Config()
    assert config.grpc.listen == ("127.0.0.1:50051",)
    assert config.http.listen == "127.0.0.1:8080"
    assert (config.grpc.predrain, config.grpc.grace, config.grpc.max_receive_bytes) == (5.0, 30.0, 32 * 2**20)
    assert config.timeouts.model_dump() == {
        "connect": 3.0,
        "first_token": 30.0,
        "idle": 60.0,
        "unary": 600.0,
        "stream": 1800.0,
        "write": 60.0,
    }
    assert (config.retries.max_attempts, config.health.timeout, config.direct_models) == (3, 5.0, True)


def test_a_configuration_never_changes():
    config = Config()
    with pytest.raises(ValidationError):
        config.grpc.workers = 2


@pytest.mark.parametrize(
    ("include", "exclude", "name", "admitted"),
    [
        ((), (), "anything/at:all", True),
        (("gpt-*",), (), "gpt-5", True),
        (("gpt-*",), (), "GPT-5", False),
        (("gpt-*",), (), "o3", False),
        (("gpt-*", "o?"), (), "o3", True),
        (("gpt-*",), ("*-mini",), "gpt-5-mini", False),
        ((), ("[ab]*",), "b", False),
        (("a.c",), (), "abc", False),
    ],
)
def test_a_filter_admits_what_is_included_and_not_excluded(include, exclude, name, admitted):
    assert ModelFilter(include=include, exclude=exclude).admits(name) is admitted


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("ftp://x", "begin with"),
        ("host/v1", "begin with"),
        ("http://", "begin with"),
        ("https://user:key@x", "password"),
        ("https://x/?a=1", "query"),
        ("https://x/#a", "fragment"),
        ("https://x/a b", "space"),
        ("https://x:99999", "port from 0 to 65535"),
        ("https://x:port", "port from 0 to 65535"),
        ("https://[::1", "host that can be read"),
    ],
)
def test_a_base_url_is_an_address_alone(url, complaint):
    with pytest.raises(ValidationError, match=complaint):
        provider(base_url=url)


def test_a_base_url_ends_without_a_slash():
    assert provider(base_url="http://[::1]:8000/v1/").base_url == "http://[::1]:8000/v1"


@pytest.mark.parametrize(
    "keys",
    [
        {"name": "-a"},
        {"name": "A"},
        {"name": "a\n"},
        {"name": "a" * 65},
        {"kind": ""},
        {"kind": " openai"},
        {"api_key": "a", "api_keys": ["b"]},
        {"api_keys": []},
        {"headers": {"Content-Length": "1"}},
        {"headers": {"a b": "1"}},
        {"headers": {"": "1"}},
        {"headers": {"x": "a\nb"}},
        {"max_in_flight": 0},
        {"max_in_flight": True},
        {"max_in_flight": 1.5},
        {"max_in_flight": 1_000_001},
        {"max_in_flight": "many"},
        {"threads": 2},
        {"model_file": "x"},
        {"kind": "local", "base_url": "http://x"},
        {"kind": "local", "api_key": "x"},
        {"models": ["gpt-*"]},
        {"quirks": ["tools"]},
        {"quirks": {"tools": None}},
        {"quirks": {"max_stop_sequences": 1.5}},
        {"quirks": {"": True}},
        {"kind": "local", "quirks": {"tools": True}},
        {"kind": "echo", "quirks": {"tools": True}},
        {"api": "completions"},
    ],
)
def test_a_provider_that_makes_no_sense_is_refused(keys):
    with pytest.raises(ValidationError):
        ProviderConfig(**{"name": "p", "kind": "openai", **keys})


@pytest.mark.parametrize("value", [None, 1, "auto"])
def test_a_providers_limit_is_none_a_number_or_learned(value):
    assert provider(max_in_flight=value).max_in_flight == value
    assert provider(max_in_flight="7").max_in_flight == 7


@pytest.mark.parametrize(
    ("change", "does_as", "there"),
    [
        ({}, True, True),
        ({"max_in_flight": 7}, True, True),
        ({"max_in_flight": "auto"}, True, True),
        ({"state": "disabled"}, True, True),
        ({"models": {"include": ["m*"]}}, True, True),
        ({"prices": "free"}, True, True),
        ({"api_key": "another"}, False, True),
        ({"headers": {"x-team": "b"}}, False, True),
        ({"api": "responses"}, False, True),
        ({"base_url": "http://127.0.0.1:9/v1"}, False, False),
        ({"preset": "vllm"}, False, False),
        ({"kind": "mistral"}, False, False),
    ],
)
def test_a_provider_is_what_it_was_and_where_it_was(change, does_as, there):
    before = {"name": "a", "kind": "openai", "api_key": "one", "max_in_flight": 3}
    first, second = (ProviderConfig.model_validate(keys) for keys in (before, {**before, **change}))
    assert (second.does_as(first), second.stands_where(first)) == (does_as, there)


@pytest.mark.parametrize("key", ["region", "project", "location"])
def test_a_provider_elsewhere_is_another(key):
    kind = {"name": "a", "kind": "bedrock" if key == "region" else "gemini"}
    first, second = (ProviderConfig.model_validate({**kind, key: value}) for value in ("one", "two"))
    assert not second.stands_where(first)
    assert not second.does_as(first)


def test_quirks_keep_their_types_and_a_variables_text_is_what_it_spells():
    quirks = {"tools": False, "max_stop_sequences": 1, "n": "true", "max_tokens_field": "max_tokens"}
    read = provider(quirks=quirks).quirks
    assert repr(read) == repr({**quirks, "n": True})


def test_secrets_do_not_show():
    text = repr(provider(api_key="sk-canary", headers={"x": "sk-canary"}))
    assert "canary" not in text


def test_the_local_kind_has_keys_of_its_own():
    local = provider(kind="local", threads="2", context_size=4096, parallel=1, model_file="m.gguf")
    assert (local.threads, local.context_size, local.parallel, local.model_file) == (2, 4096, 1, Path("m.gguf"))


@pytest.mark.parametrize(
    ("kind", "stranger"),
    [
        ("echo", {"api_key": "test-key"}),
        ("echo", {"base_url": "http://x"}),
        ("local", {"headers": {"a": "b"}}),
        ("anthropic", {"preset": "groq"}),
        ("mistral", {"quirks": {"prefill": "none"}}),
    ],
)
def test_a_key_that_a_kind_has_no_use_for_is_refused(kind, stranger):
    with pytest.raises(ValidationError, match=f"of kind {kind} has no use for {next(iter(stranger))}; remove it"):
        provider(kind=kind, **stranger)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:50051", TcpAddress("127.0.0.1", 50051)),
        ("localhost:0", TcpAddress("localhost", 0)),
        ("[::1]:65535", TcpAddress("::1", 65535)),
        ("[0:0::1]:1", TcpAddress("::1", 1)),
        ("unix:a/b.sock", UnixAddress("a/b.sock")),
        ("unix:///a", UnixAddress("/a")),
        ("unix:" + "x" * 107, UnixAddress("x" * 107)),
    ],
)
def test_an_address_is_read(text, address):
    assert parse_address(text) == address


@pytest.mark.parametrize(
    "text",
    [
        *("", ":1", "localhost", "localhost:", "localhost:65536", "localhost:-1", "a b:1", "a:1\n", "http://a:1"),
        *("::1:80", "[x]:1", "[::1]", "[1:2:3]:4"),
        *("unix:", "unix:a/", "unix:a\0", "unix:" + "x" * 108, "unix:" + "ü" * 54),
    ],
)
def test_what_is_no_address_is_refused(text):
    with pytest.raises(ValueError, match="must"):
        parse_address(text)


@pytest.mark.parametrize(("host", "own"), [("localhost", True), ("127.1.2.3", True), ("::1", True), ("0.0.0.0", False)])
def test_loopback_is_this_machine_alone(host, own):
    assert is_loopback(host) is own


def test_listen_is_one_address_or_several():
    assert GrpcConfig(listen="unix:w{worker}").addresses(3) == ("unix:w3",)
    assert GrpcConfig(listen=["a:1", "b:2"]).listen == ("a:1", "b:2")
    for wrong in ([], [3], 3, None, ["a:1", ["b:2"]], "{port}"):
        with pytest.raises(ValidationError):
            GrpcConfig(listen=wrong)


def test_a_models_defaults_are_settings_of_the_api():
    assert set(ModelDefaults.model_fields) <= set(GenerationConfig.__struct_fields__)
    assert ModelDefaults(temperature=0, max_output_tokens=9).settings() == {"temperature": 0.0, "max_output_tokens": 9}
    for wrong in ({"temperature": 2.5}, {"temperature": float("nan")}, {"top_p": -1}, {"top_k": 0}, {"seed": 1.5}):
        with pytest.raises(ValidationError):
            ModelDefaults(**wrong)


def paths(schema, node, path=""):
    """Every key of the schema, spelled as a pattern, with its schema."""
    yield path, node
    for choice in node.get("anyOf", ()):
        yield from paths(schema, choice, path)
    if "$ref" in node:
        yield from paths(schema, schema["$defs"][node["$ref"].rpartition("/")[2]], path)
    for key, child in node.get("properties", {}).items():
        if key != "file" or path == "prices":
            yield from paths(schema, child, f"{path}.{key}".lstrip("."))
    for child in (*node.get("patternProperties", {}).values(),):
        yield from paths(schema, child, f"{path}.*")
    if isinstance(node.get("items"), dict):
        yield from paths(schema, node["items"], f"{path}[]")


def test_the_secrets_of_the_schema_are_those_that_the_loader_knows():
    schema = config_schema()
    assert {path for path, node in paths(schema, schema) if node.get("x-type") == "secret"} == set(SECRETS)


def test_every_key_that_is_not_built_is_in_the_schema():
    schema = config_schema()
    known = {path for path, _ in paths(schema, schema)}
    assert {pattern.removesuffix(".*") for pattern in NOT_BUILT} <= known


def test_every_key_has_a_meaning_and_bounds_in_standard_words():
    schema = config_schema()
    for section in schema["$defs"].values():
        for node in section["properties"].values():
            assert "description" in node or "$ref" in node
    assert not re.search(r"'(ge|le|gt|title)':", str(schema))
    assert schema["$defs"]["GrpcConfig"]["properties"]["workers"]["maximum"] == 256


def test_the_keys_of_a_mapping_are_known_by_its_path():
    assert keys_at(()) == list(Config.model_fields)
    assert keys_at(("grpc", "tls")) == ["cert", "key", "client_ca"]
    assert keys_at(("models", 2, "targets", 0)) == ["provider", "model", "weight", "when", "max_input_tokens"]
    assert keys_at(("nowhere", "at all")) == []


def test_the_configuration_reference_is_up_to_date():
    tool = [sys.executable, ROOT / "tools" / "config_reference.py", "--check"]
    assert subprocess.run(tool, capture_output=True, text=True, check=False).stderr == ""
