"""Addresses, options and what the package carries."""

import importlib.metadata
import json
import re
from importlib import resources

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet

import llmproxy_client
from llmproxy_client.channel import channel_options, is_local, service_config
from llmproxy_client.names import short
from llmproxy_client.v1.health_pb2 import CircuitState, ServingStatus
from llmproxy_client.v1.llm_proxy_service_pb2 import DESCRIPTOR

SERVICE = DESCRIPTOR.services_by_name["LlmProxyService"]
PACKAGE = resources.files("llmproxy_client")


@pytest.mark.parametrize(
    "target",
    [
        "127.0.0.1:50051",
        "127.9.9.9",
        "localhost:1",
        "LOCALHOST:1",
        "[::1]:1",
        "unix:s",
        "unix-abstract:s",
        "dns:///localhost:1",
    ],
)
def test_loopback_and_unix_sockets_are_local(target):
    assert is_local(target)


@pytest.mark.parametrize(
    "target",
    [
        "10.0.0.1:50051",
        "proxy:50051",
        "localhost.example.com:1",
        "[2001:db8::1]:1",
        "dns:///proxy:1",
        "",
        "127.0.0.1.evil:1",
    ],
)
def test_everything_else_is_not_local(target):
    assert not is_local(target)


def test_the_service_config_names_real_methods_and_never_repeats_an_export():
    config = json.loads(service_config())
    named = [name for method in config["methodConfig"] for name in method["name"]]

    assert {name["service"] for name in named} == {SERVICE.full_name}
    assert {name["method"] for name in named} < set(SERVICE.methods_by_name)
    assert not {"Export", "RecordFeedback"} & {name["method"] for name in named}
    assert all(method["retryPolicy"]["retryableStatusCodes"] == ["UNAVAILABLE"] for method in config["methodConfig"])
    assert "timeout" not in service_config()


def test_without_retries_nothing_is_repeated():
    options = dict(channel_options(retries=False))

    assert options["grpc.enable_retries"] == 0
    assert "grpc.service_config" not in options


def test_the_package_carries_types_protos_and_a_descriptor_set():
    descriptors = FileDescriptorSet.FromString((PACKAGE / "llmproxy_v1.protoset").read_bytes())
    names = {file.name for file in descriptors.file}

    assert (PACKAGE / "py.typed").is_file()
    assert (PACKAGE / "protos/llmproxy/v1/chat.proto").is_file()
    assert {"llmproxy/v1/llm_proxy_service.proto", "google/rpc/error_details.proto"} <= names


def test_the_version_is_that_of_the_distribution():
    assert importlib.metadata.version("llmproxy-client") == llmproxy_client.__version__


def test_enum_names_are_short_and_unknown_values_are_numbers():
    assert short(ServingStatus.DESCRIPTOR, 3) == "NOT_SERVING"
    assert short(CircuitState.DESCRIPTOR, 3) == "HALF_OPEN"
    assert short(CircuitState.DESCRIPTOR, 0) == ""
    assert short(CircuitState.DESCRIPTOR, 77) == "77"


def test_the_examples_of_the_readme_run(target, script, dataset, readme, capsys):
    script.exported = dataset(b'{"messages":[]}\n')
    examples = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    for example in examples:
        code = example.replace("127.0.0.1:50051", target).replace("connect()", f"connect({target!r})")
        exec(compile(code, "README.md", "exec"), {"__name__": "readme"})

    assert len(examples) == 5
    printed = capsys.readouterr().out
    assert printed.count("Hello there") == 4
    assert "1 records in ['train.jsonl']" in printed
