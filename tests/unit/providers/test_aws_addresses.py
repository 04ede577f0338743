"""Where AWS's services answer: regions, their domains, and what else may stand in for them."""

import pytest

from llmproxy_grpc.config.schema import ProviderConfig
from llmproxy_grpc.providers import aws_addresses
from llmproxy_grpc.providers.aws_addresses import control_url, region_of, runtime_url


def config(**fields):
    return ProviderConfig(name="b", kind="bedrock", **fields)


@pytest.fixture(autouse=True)
def files(tmp_path, monkeypatch):
    """Nothing of this machine's own files and variables."""
    for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_DEFAULT_REGION", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    return tmp_path


@pytest.mark.parametrize(
    ("region", "domain"),
    [
        ("eu-central-1", "amazonaws.com"),
        ("us-gov-west-1", "amazonaws.com"),
        ("eusc-de-east-1", "amazonaws.eu"),
        ("cn-north-1", "amazonaws.com.cn"),
        ("us-iso-east-1", "c2s.ic.gov"),
        ("us-isob-east-1", "sc2s.sgov.gov"),
    ],
)
def test_hosts_are_those_of_botocore(region, domain):
    from botocore.session import Session  # noqa: PLC0415 - imports that other tests need not wait for

    session = Session()
    for service, url in (
        ("bedrock-runtime", runtime_url(config(), region)),
        ("bedrock", control_url(runtime_url(config(), region))),
    ):
        keys = {"aws_access_key_id": "test-key-id", "aws_secret_access_key": "test-secret"}
        assert session.create_client(service, region_name=region, **keys).meta.endpoint_url == url
        assert url == f"https://{service}.{region}.{domain}"


@pytest.mark.parametrize(
    ("runtime", "control"),
    [
        ("https://bedrock-runtime-fips.us-east-1.amazonaws.com", "https://bedrock-fips.us-east-1.amazonaws.com"),
        ("https://bedrock-runtime.us-east-1.api.aws:8443", "https://bedrock.us-east-1.api.aws:8443"),
        ("https://vpce-1.bedrock-runtime.us-east-1.vpce.amazonaws.com",) * 2,
        ("https://gateway.example.test/bedrock",) * 2,
        ("http://127.0.0.1:8000",) * 2,
        ("https://bedrock-runtime",) * 2,
    ],
)
def test_models_are_listed_by_the_sibling_of_aws_own_host_and_by_whatever_else_stands_in(runtime, control):
    assert control_url(runtime) == control


@pytest.mark.parametrize("address", ["http://bedrock.example.test", "http://10.0.0.1:80"])
def test_keys_go_over_no_open_connection(address):
    with pytest.raises(ValueError, match="https"):
        runtime_url(config(base_url=address), "x")


@pytest.mark.parametrize("address", ["http://127.0.0.1:8000", "http://localhost", "http://[::1]:8000"])
def test_this_machine_is_no_open_connection(address):
    assert runtime_url(config(base_url=address), "x") == address


def test_the_configured_region_wins_over_that_of_the_environment():
    environ = {"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "us-east-1"}
    assert region_of(config(region="eu-central-1"), environ) == "eu-central-1"
    assert region_of(config(), environ) == "eu-west-1"
    assert region_of(config(), {**environ, "AWS_REGION": ""}) == "us-east-1"


def test_a_profile_may_name_the_region(files):
    (files / "config").write_text("[profile team]\nregion = eu-north-1\n[default]\nregion = eu-south-1\n")
    assert region_of(config(profile="team"), {}) == "eu-north-1"
    assert region_of(config(), {}) == "eu-south-1"


@pytest.mark.parametrize("profile", [None, "nobody"])
def test_without_a_region_there_is_no_provider(profile):
    with pytest.raises(ValueError, match="needs a region"):
        region_of(config(profile=profile), {})


def test_profiles_are_read_where_botocore_is_installed_alone(monkeypatch):
    monkeypatch.setattr(aws_addresses, "find_spec", lambda _: None)
    with pytest.raises(ValueError, match="needs a region"):
        region_of(config(profile="team"), {})
