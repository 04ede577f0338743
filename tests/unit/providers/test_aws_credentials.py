"""Keys to AWS: whose count, and that botocore is asked off the event loop, by one for all, before they end."""

import asyncio
import json
import socket
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.credentials import RefreshableCredentials

from llmproxy_grpc.config.schema import ProviderConfig
from llmproxy_grpc.errors import CredentialsRejected, UpstreamUnreachable
from llmproxy_grpc.providers import aws_credentials as room
from llmproxy_grpc.providers.aws_credentials import aws_credentials, bearer_token
from llmproxy_grpc.providers.sigv4 import AwsCredentials

PAIR = {"access_key_id": "test-key-id", "secret_access_key": "test-secret"}
IN_ENVIRONMENT = {"AWS_ACCESS_KEY_ID": " test-env-id ", "AWS_SECRET_ACCESS_KEY": "test-env-secret"}
TOKEN = {"AWS_BEARER_TOKEN_BEDROCK": "test-token"}


def config(**fields: Any) -> ProviderConfig:
    return ProviderConfig(name="b", kind="bedrock", **fields)


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Where botocore looks, and nowhere else."""
    for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    return tmp_path


@pytest.mark.parametrize(
    ("fields", "environ", "token"),
    [
        ({"api_key": "test-key"}, TOKEN, "test-key"),
        ({}, {**TOKEN, **IN_ENVIRONMENT}, "test-token"),
        (PAIR, TOKEN, None),
        ({"profile": "team"}, TOKEN, None),
        ({"headers": {"Authorization": "Bearer test-key"}}, TOKEN, None),
        ({}, {"AWS_BEARER_TOKEN_BEDROCK": " "}, None),
    ],
)
def test_the_environments_token_counts_where_nothing_is_configured(fields, environ, token):
    found = bearer_token(config(**fields), environ)
    assert (found and found.get_secret_value()) == token


@pytest.mark.parametrize("fields", [PAIR, {"profile": "team"}, {"session_token": "test-session"}])
def test_a_token_and_keys_are_one_too_many(fields):
    with pytest.raises(ValueError, match="keep one"):
        bearer_token(config(api_key="test-key", **fields), {})


@pytest.mark.parametrize(
    ("fields", "keys"),
    [
        (PAIR, AwsCredentials("test-key-id", "test-secret")),
        ({**PAIR, "session_token": "test-session"}, AwsCredentials("test-key-id", "test-secret", "test-session")),
        ({}, AwsCredentials("test-env-id", "test-env-secret")),
    ],
)
async def test_configured_keys_win_over_those_of_the_environment(fields, keys):
    assert await aws_credentials(config(**fields), IN_ENVIRONMENT)() == keys


@pytest.mark.parametrize(
    "fields", [{"access_key_id": "test-key-id"}, {"secret_access_key": "x"}, {"session_token": "test-session"}]
)
def test_half_a_pair_is_none(fields):
    with pytest.raises(ValueError, match="both or neither"):
        aws_credentials(config(**fields), IN_ENVIRONMENT)


@pytest.mark.parametrize("fields", [{}, {"profile": "team"}])
def test_the_rest_of_the_chain_needs_botocore(monkeypatch, fields):
    monkeypatch.setattr(room, "find_spec", lambda _: None)
    with pytest.raises(ValueError, match="extra `bedrock`"):
        aws_credentials(config(**fields), {})


async def test_a_named_profile_wins_over_the_environment(files):
    (files / "credentials").write_text(
        "[team]\naws_access_key_id = test-profile-id\naws_secret_access_key = test-secret\n"
    )
    keys = await aws_credentials(config(profile="team"), IN_ENVIRONMENT)()
    assert keys == AwsCredentials("test-profile-id", "test-secret")


@pytest.mark.parametrize("fields", [{}, {"profile": "nobody"}])
async def test_keys_that_nobody_has_are_an_error_of_the_proxys_own(files, fields):
    with pytest.raises(CredentialsRejected):
        await aws_credentials(config(**fields), {})()


async def test_keys_that_cannot_be_fetched_for_want_of_a_network_are_no_refusal(files, monkeypatch):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"http://127.0.0.1:{port}/keys")
    monkeypatch.setattr("botocore.utils.ContainerMetadataFetcher.SLEEP_TIME", 0)
    with pytest.raises(UpstreamUnreachable):
        await aws_credentials(config(), {})()


async def test_a_machine_whose_metadata_service_never_answered_has_no_keys(files, monkeypatch):
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(CredentialsRejected):
        await aws_credentials(config(), {})()


async def test_a_machine_s_keys_that_are_no_longer_told_are_no_refusal(files, monkeypatch):
    def told(**changes: str) -> dict[str, str]:
        soon = datetime.now(UTC) + timedelta(minutes=5)
        pair = {"access_key": "test-role-id", "secret_key": "test-secret", "token": "test-session"}
        return {**pair, "expiry_time": soon.isoformat(), **changes}

    answers = [told(), {}]
    machine = RefreshableCredentials.create_from_metadata(told(), lambda: answers.pop(0), "iam-role")
    monkeypatch.setattr("botocore.session.Session.get_credentials", lambda _: machine)
    time = 0.0
    keys = aws_credentials(config(), {}, now=lambda: time)
    assert (await keys()).access_key_id == "test-role-id"
    time = 1000.0
    with pytest.raises(UpstreamUnreachable):
        await keys()


def process_in(folder, *, minutes: int):
    """A profile whose keys come from a process and hold for some minutes; gives the file that counts its runs."""
    told = {
        "Version": 1,
        "AccessKeyId": "test-process-id",
        "SecretAccessKey": "test-secret",
        "SessionToken": "test-session",
        "Expiration": (datetime.now(UTC) + timedelta(minutes=minutes)).isoformat(),
    }
    (folder / "told.json").write_text(json.dumps(told))
    script = folder / "give"
    script.write_text(f"#!/bin/sh\necho run >> {folder / 'log'}\ncat {folder / 'told.json'}\n")
    script.chmod(0o700)
    (folder / "config").write_text(f"[profile team]\ncredential_process = {script}\n")
    return folder / "log"


async def test_keys_that_end_are_fetched_by_one_for_all_who_wait(files):
    log = process_in(files, minutes=60)
    keys = aws_credentials(config(profile="team"), {})
    found = await asyncio.gather(*(keys() for _ in range(20)))
    assert set(found) == {AwsCredentials("test-process-id", "test-secret", "test-session")}
    assert log.read_text().split() == ["run"]


@pytest.mark.parametrize(("minutes", "anew"), [(60, False), (5, True)])
async def test_keys_are_fetched_anew_before_they_end_and_not_sooner(files, minutes, anew):
    log = process_in(files, minutes=minutes)
    time = 0.0
    keys = aws_credentials(config(profile="team"), {}, now=lambda: time)
    await keys()
    first = log.read_text()
    time = 59.0
    await keys()
    assert log.read_text() == first
    time = 60.0
    await keys()
    assert (log.read_text() != first) is anew


def test_keys_are_not_printed():
    assert "test-secret" not in repr(AwsCredentials("test-key-id", "test-secret", "test-session"))
