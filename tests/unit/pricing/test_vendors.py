import pytest

from llmproxy_grpc.config.schema import Config, ProviderConfig
from llmproxy_grpc.pricing.shipped import shipped
from llmproxy_grpc.pricing.vendors import known_vendors, vendor_of

VENDORS = shipped().vendors


def vendor(**keys):
    return vendor_of(ProviderConfig(name="p", **keys), VENDORS)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"kind": "openai"}, "openai"),
        ({"kind": "openai", "preset": "groq"}, "groq"),
        ({"kind": "anthropic"}, "anthropic"),
        ({"kind": "gemini"}, "gemini"),
        ({"kind": "bedrock", "region": "eu-west-1"}, "bedrock"),
        ({"kind": "local"}, "local"),
        ({"kind": "echo"}, "echo"),
        ({"kind": "azure"}, "azure"),
        ({"kind": "lines"}, "lines"),
    ],
)
def test_without_an_address_the_preset_or_the_kind_is_the_vendor(keys, expected):
    assert vendor(**keys) == expected


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"kind": "openai", "base_url": "https://api.openai.com/v1"}, "openai"),
        ({"kind": "openai", "base_url": "https://api.groq.com/openai/v1"}, "groq"),
        ({"kind": "openai", "base_url": "https://openrouter.ai/api/v1"}, "openrouter"),
        ({"kind": "openai", "base_url": "https://generativelanguage.googleapis.com/v1beta/openai"}, "gemini"),
        ({"kind": "bedrock", "base_url": "https://bedrock-runtime.us-east-1.amazonaws.com"}, "bedrock"),
    ],
)
def test_an_address_tells_who_sends_the_bill_whatever_is_spoken_there(keys, expected):
    assert vendor(**keys) == expected


@pytest.mark.parametrize(
    "keys",
    [
        {"kind": "openai", "base_url": "http://10.0.0.5:8000/v1"},
        {"kind": "openai", "base_url": "https://eu.api.openai.com/v1"},  # dearer than elsewhere
        {"kind": "openai", "base_url": "https://api.openai.com.example.com/v1"},
        {"kind": "openai", "preset": "openai", "base_url": "http://127.0.0.1:4000/v1"},
        {"kind": "anthropic", "base_url": "http://127.0.0.1:8080"},
    ],
)
def test_what_speaks_a_vendors_api_elsewhere_does_not_charge_its_prices(keys):
    assert vendor(**keys) == ""


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"kind": "azure", "base_url": "https://example.openai.azure.com"}, "azure"),
        ({"kind": "openai", "preset": "vllm", "base_url": "http://10.0.0.5:8000/v1"}, "vllm"),
        ({"kind": "grpc", "base_url": "http://10.0.0.5:50051"}, "grpc"),
        ({"kind": "gemini", "project": "a-project"}, "vertex"),
        ({"kind": "gemini", "location": "global"}, "vertex"),
    ],
)
def test_a_vendor_without_addresses_of_its_own_is_the_same_everywhere(keys, expected):
    assert vendor(**keys) == expected


def test_the_configuration_has_the_last_word():
    assert vendor(kind="openai", base_url="http://10.0.0.5/v1", prices="free") == "free"
    assert vendor(kind="openai", prices="anthropic") == "anthropic"


def test_prices_must_name_a_vendor_that_ships_or_has_rows():
    rows = [{"vendor": "contract", "models": ["m"], "input": 1, "output": 1}]
    names = ["free", "openai", "contract", "opneai", None]
    providers = [{"name": f"p{at}", "kind": "echo", "prices": name} for at, name in enumerate(names)]
    config = Config.model_validate({"providers": providers, "prices": {"rows": rows}})
    (problem,) = known_vendors(config)
    assert problem.path == ("providers", 3, "prices")
    assert "there are anthropic, bedrock, " in problem.message
    assert "contract" in problem.message
