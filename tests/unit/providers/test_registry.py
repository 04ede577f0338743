import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from llmproxy_grpc.config.schema import ProviderConfig
from llmproxy_grpc.providers.echo import EchoProvider
from llmproxy_grpc.providers.http import HttpClient
from llmproxy_grpc.providers.openai import OpenAiProvider
from llmproxy_grpc.providers.registry import KINDS, build, known_kinds


@pytest.fixture
async def http() -> AsyncIterator[HttpClient]:
    client = HttpClient(connect_timeout=1)
    yield client
    await client.aclose()


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package that offers two kinds: one that works, and one whose module is not there."""
    (tmp_path / "outside_kind.py").write_text(
        "class Outside:\n"
        "    @classmethod\n"
        "    def from_config(cls, config, http):\n"
        "        made = cls()\n"
        "        made.name = config.name\n"
        "        return made\n"
    )
    info = tmp_path / "outside-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: outside\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[llmproxy_grpc.providers]\n"
        "outside = outside_kind:Outside\n"
        "broken = no_such_module_here:Thing\n"
        "hollow = outside_kind:nothing\n"
        "openai = outside_kind:Outside\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "outside_kind", raising=False)
    return tmp_path


async def test_each_kind_builds_its_own_provider(http):
    assert isinstance(build(ProviderConfig(name="e", kind="echo"), http), EchoProvider)
    built = build(ProviderConfig(name="o", kind="openai", base_url="http://127.0.0.1:1/v1"), http)
    assert isinstance(built, OpenAiProvider)
    assert (built.name, built.kind) == ("o", "openai")


def test_the_kinds_that_can_be_configured_are_ours_and_those_of_other_packages(package):
    assert known_kinds() >= {"echo", "local", "openai", "outside"}
    assert known_kinds() >= set(KINDS)


async def test_an_unknown_kind_is_an_error_that_names_those_there_are(http, package):
    with pytest.raises(ValueError, match=r"'x': kind 'opnai' is unknown; there are .*echo.*local.*openai.*outside"):
        build(ProviderConfig(name="x", kind="opnai"), http)


async def test_another_package_may_bring_a_kind(http, package):
    built = build(ProviderConfig(name="theirs", kind="outside"), http)
    assert (type(built).__name__, built.name) == ("Outside", "theirs")


@pytest.mark.parametrize("kind", ["broken", "hollow"])
async def test_a_kind_that_cannot_be_loaded_is_an_error_that_says_so(http, package, kind):
    with pytest.raises(ValueError, match=f"kind '{kind}' cannot be loaded"):
        build(ProviderConfig(name="x", kind=kind), http)


async def test_another_package_never_takes_the_place_of_a_kind_of_ours(http, package):
    config = ProviderConfig(name="x", kind="openai", base_url="http://127.0.0.1:1/v1")
    assert isinstance(build(config, http), OpenAiProvider)
