import re
from urllib.parse import urlsplit

import pytest

from llmproxy_grpc.config.schema import ProviderConfig
from llmproxy_grpc.providers.presets import PRESETS, Preset
from llmproxy_grpc.providers.registry import KINDS

ROWS = pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS.keys())


@ROWS
def test_a_preset_may_be_configured_under_its_name(preset: Preset):
    assert ProviderConfig(name=preset.name, kind=preset.kind, preset=preset.name).preset == preset.name


@ROWS
def test_a_preset_is_of_a_kind_that_there_is(preset: Preset):
    assert preset.kind in KINDS


@ROWS
def test_a_key_never_leaves_in_the_clear(preset: Preset):
    if preset.key_variable:
        assert urlsplit(preset.base_url).scheme == "https"
        assert re.fullmatch(r"[A-Z]+_API_KEY", preset.key_variable)


@ROWS
def test_a_server_without_a_key_is_on_this_host(preset: Preset):
    if not preset.key_variable and preset.base_url:
        assert urlsplit(preset.base_url).hostname == "127.0.0.1"


@ROWS
def test_a_preset_knows_one_of_the_two_names_of_the_output_limit(preset: Preset):
    assert preset.quirks.max_tokens_field in {"max_tokens", "max_completion_tokens"}


def test_no_two_presets_share_a_key_or_an_address():
    variables = [preset.key_variable for preset in PRESETS.values() if preset.key_variable]
    addresses = [preset.base_url for preset in PRESETS.values() if preset.base_url]
    assert len(variables) == len(set(variables))
    assert len(addresses) == len(set(addresses))


@pytest.mark.parametrize("preset", PRESETS.values(), ids=lambda preset: preset.name)
def test_openai_alone_is_known_to_take_a_refusal_in_a_field_of_its_own(preset):
    assert preset.quirks.refusals is (preset.name == "openai")
