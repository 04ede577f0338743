"""The kind azure over a real connection: where deployments are, how they are paid for, and Azure's own errors."""

import asyncio
import json
import sys
import threading
from importlib import import_module

import pytest

from llmproxy_grpc.config.schema import ProviderConfig
from llmproxy_grpc.errors import (
    CapabilityNotSupported,
    CredentialsRejected,
    InvalidRequest,
    ModelNotFound,
    PromptBlocked,
    ProxyError,
    UpstreamRateLimited,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from llmproxy_grpc.messages import EmbedRequest, MediaKind, MediaPart, Message, Role, TextPart
from llmproxy_grpc.providers.azure import AzureProvider
from llmproxy_grpc.providers.azure_token import fetch_token
from llmproxy_grpc.providers.expiring import Expiring
from tests.fakes.faulty_upstream import Answer
from tests.providers.conversations import ask
from tests.providers.kinds.azure import KIND
from tests.providers.kinds.responses import KIND as RESPONSES

CLASSIC = {"api_version": "2024-10-21", "deployment": None}


async def test_an_upstream_model_is_a_deployment_below_the_resource(upstream, http):
    upstream.handler = KIND.respond
    azure = await KIND.provider(upstream, http, **CLASSIC)
    await azure.chat(ask(), "my gpt/../x")
    await azure.embed(EmbedRequest("m", (TextPart(text="a"),)), "ada")
    await azure.probe()
    assert [request.path for request in upstream.requests] == [
        "/openai/deployments/my%20gpt%2F..%2Fx/chat/completions?api-version=2024-10-21",
        "/openai/deployments/ada/embeddings?api-version=2024-10-21",
        "/openai/models?api-version=2024-10-21",
    ]
    assert upstream.requests[0].headers["api-key"] == "test-key"
    assert await azure.list_models() == ()


async def test_one_deployment_may_be_fixed(upstream, http):
    upstream.handler = KIND.respond
    azure = await KIND.provider(upstream, http)
    await azure.chat(ask(), "gpt-5")
    assert upstream.requests[0].path.startswith("/openai/deployments/test-model/")
    assert [model.name for model in await azure.list_models()] == ["test-model"]


@pytest.mark.parametrize("version", [None, "v1"])
async def test_the_api_without_versions_takes_the_deployment_as_the_model(upstream, http, version):
    upstream.handler = KIND.respond
    azure = await KIND.provider(upstream, http, api_version=version, deployment=None)
    await azure.chat(ask(), "my-gpt")
    assert upstream.requests[0].path == "/openai/v1/chat/completions"
    assert upstream.requests[0].json()["model"] == "my-gpt"


@pytest.mark.parametrize("api", ["chat", "responses"])
async def test_the_preview_of_the_api_without_versions_is_below_the_same_address(upstream, http, api):
    upstream.handler = KIND.respond if api == "chat" else RESPONSES.respond
    azure = await KIND.provider(upstream, http, api_version="preview", deployment=None, api=api)
    await azure.chat(ask(), "my-gpt")
    await azure.embed(EmbedRequest("m", (TextPart(text="a"),)), "ada")
    await azure.probe()
    answers = "chat/completions" if api == "chat" else "responses"
    paths = [f"/openai/v1/{each}?api-version=preview" for each in (answers, "embeddings", "models")]
    assert [request.path for request in upstream.requests] == paths
    assert [request.json()["model"] for request in upstream.requests[:2]] == ["my-gpt", "ada"]


@pytest.mark.parametrize("name", [".", "..", "...", ""])
async def test_no_name_leads_out_of_the_folder_of_deployments(upstream, http, name):
    azure = await KIND.provider(upstream, http, **CLASSIC)
    with pytest.raises(ModelNotFound):
        await azure.chat(ask(), name)
    assert not upstream.requests


@pytest.mark.parametrize("home", ["", "/", "/openai", "/openai/v1", "/openai/v1/"])
async def test_the_resources_address_may_be_that_of_its_api(upstream, http, home):
    upstream.handler = KIND.respond
    config = {"base_url": f"{upstream.url}{home}", "api_key": "test-key"}
    azure = AzureProvider.from_config(ProviderConfig(name="a", kind="azure", **config), http)
    await azure.chat(ask(), "my-gpt")
    await azure.probe()
    assert [request.path for request in upstream.requests] == ["/openai/v1/chat/completions", "/openai/v1/models"]


@pytest.mark.parametrize(
    ("version", "path"),
    [(None, "/openai/v1/responses"), ("2025-04-01-preview", "/openai/responses?api-version=2025-04-01-preview")],
)
async def test_deployments_answer_by_the_responses_api_as_well(upstream, http, version, path):
    upstream.handler = RESPONSES.respond
    config = {"api_version": version, "deployment": "prod", "api": "responses", "quirks": {"documents": False}}
    azure = await KIND.provider(upstream, http, **config)
    document = MediaPart(kind=MediaKind.DOCUMENT, data=b"x", media_type="application/pdf")
    request = ask(messages=(Message(Role.USER, (TextPart(text="Hi"), document)),))
    adapted = azure.adapt(request, "gpt-5")
    assert [found.field for found in adapted.unsupported] == ["messages[0].parts[1].document"]
    assert (await azure.chat(adapted.request, "gpt-5")).candidates[0].message.parts == (TextPart(text="Hi"),)
    sent = upstream.requests[0]
    assert (sent.path, sent.json()["model"], sent.json()["store"]) == (path, "prod", False)
    assert sent.json()["include"] == ["reasoning.encrypted_content"]
    assert [model.name for model in await azure.list_models()] == ["prod"]
    with pytest.raises(CapabilityNotSupported):
        await azure.count_tokens(ask(), "gpt-5")


async def test_a_fixed_deployment_answers_by_the_api_without_versions_too(upstream, http):
    upstream.handler = KIND.respond
    azure = await KIND.provider(upstream, http, api_version=None, deployment="prod")
    await azure.chat(ask(), "gpt-5")
    await azure.embed(EmbedRequest("m", (TextPart(text="a"),)), "ada")
    assert [request.json()["model"] for request in upstream.requests] == ["prod", "prod"]


def test_a_flag_that_makes_no_sense_is_refused(http):
    config = {"base_url": "https://x.test", "api_key": "test-key", "quirks": {"dokuments": False}}
    with pytest.raises(ValueError, match=r"provider 'a': quirks\.dokuments is unknown"):
        AzureProvider.from_config(ProviderConfig(name="a", kind="azure", **config), http)


IDENTITY = """
import threading
asked = []
failures = []
class CredentialUnavailableError(Exception):
    pass
class Part:
    def get_token(self, scope):
        asked.append((scope, threading.get_ident()))
        if failures:
            raise failures.pop()
        class Token:
            token = "test-entra-token"
            expires_on = 4102444800
        return Token
class DefaultAzureCredential:
    def __init__(self):
        self.credentials = (Part(), Part())
    def __enter__(self):
        return self
    def __exit__(self, *_):
        pass
    def get_token(self, scope):
        for credential in self.credentials:
            try:
                return credential.get_token(scope)
            except CredentialUnavailableError:
                continue
            except Exception:
                break
        raise ValueError("failed to retrieve a token")
"""


@pytest.fixture
def identity(tmp_path, monkeypatch):
    """What azure-identity would be, without Azure."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "azure"]:
        monkeypatch.delitem(sys.modules, name)
    (tmp_path / "azure").mkdir()
    (tmp_path / "azure" / "__init__.py").write_text("")
    (tmp_path / "azure" / "identity.py").write_text(IDENTITY)
    monkeypatch.syspath_prepend(tmp_path)
    yield import_module("azure.identity")
    for name in ("azure", "azure.identity"):
        sys.modules.pop(name, None)


async def test_without_a_key_tokens_of_entra_id_go_with_every_request(upstream, http, identity):
    upstream.handler = KIND.respond
    azure = await KIND.provider(upstream, http, api_key=None)
    await asyncio.gather(*(azure.chat(ask(), "m") for _ in range(5)))
    await azure.embed(EmbedRequest("m", (TextPart(text="a"),)), "ada")
    await azure.probe()
    assert {request.headers["authorization"] for request in upstream.requests} == {"Bearer test-entra-token"}
    assert all("api-key" not in request.headers for request in upstream.requests)
    ((scope, thread),) = identity.asked
    assert scope == "https://cognitiveservices.azure.com/.default"
    assert thread != threading.get_ident()


async def test_a_part_that_is_not_there_leaves_the_token_to_the_next(upstream, http, identity):
    upstream.handler = KIND.respond
    identity.failures.append(identity.CredentialUnavailableError("not here"))
    azure = await KIND.provider(upstream, http, api_key=None)
    await azure.chat(ask(), "m")
    assert len(identity.asked) == 2


@pytest.mark.parametrize(
    ("failures", "kind"),
    [
        ([ConnectionRefusedError("no")], UpstreamUnreachable),
        ([TimeoutError("slow")], UpstreamTimeout),
        ([ValueError("refused")], CredentialsRejected),
        ([None, ConnectionRefusedError("no")], UpstreamUnreachable),
        ([None, None], CredentialsRejected),
    ],
)
async def test_a_directory_that_is_not_to_be_reached_refuses_nobody(upstream, http, identity, failures, kind):
    unavailable = identity.CredentialUnavailableError
    identity.failures.extend(failure or unavailable("not here") for failure in reversed(failures))
    azure = await KIND.provider(upstream, http, api_key=None)
    with pytest.raises(ProxyError) as caught:
        await azure.chat(ask(), "m")
    assert type(caught.value) is kind
    assert not upstream.requests


async def test_a_credential_that_is_no_longer_there_refuses_nobody(identity):
    ahead = 0.0
    tokens = Expiring(fetch_token, now=lambda: ahead)
    assert await tokens.get() == "test-entra-token"
    identity.failures.extend([identity.CredentialUnavailableError("not here")] * 2)
    ahead = 4102444800.0
    with pytest.raises(UpstreamUnreachable):
        await tokens.get()


async def test_a_token_is_in_no_error(upstream, http, identity):
    upstream.script(Answer.json(b'{"error":{"message":"bad test-entra-token"}}', status=400))
    azure = await KIND.provider(upstream, http, api_key=None)
    with pytest.raises(InvalidRequest) as caught:
        await azure.chat(ask(), "m")
    assert "test-entra-token" not in caught.value.fault.message


async def test_a_token_may_stand_in_a_header(upstream, http):
    upstream.handler = KIND.respond
    azure = await KIND.provider(upstream, http, api_key=None, headers={"Authorization": "Bearer test-token"})
    await azure.chat(ask(), "m")
    headers = upstream.requests[0].headers
    assert (headers["authorization"], "api-key" in headers) == ("Bearer test-token", False)


def test_without_an_address_there_is_no_resource(http):
    with pytest.raises(ValueError, match="needs a base_url"):
        AzureProvider.from_config(ProviderConfig(name="a", kind="azure", api_key="test-key"), http)


def test_without_a_key_the_extra_is_named(http):
    with pytest.raises(ValueError, match="extra `azure`"):
        AzureProvider.from_config(ProviderConfig(name="a", kind="azure", base_url="https://x.test"), http)


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (404, {"code": "DeploymentNotFound", "message": "The API deployment does not exist."}, ModelNotFound),
        (
            400,
            {
                "code": "content_filter",
                "message": "filtered",
                "innererror": {
                    "code": "ResponsibleAIPolicyViolation",
                    "content_filter_result": {"hate": {"filtered": False}, "violence": {"filtered": True}},
                },
            },
            PromptBlocked,
        ),
        (429, {"code": "429", "message": "slow down"}, UpstreamRateLimited),
        (429, {"code": "RateLimitReached", "message": "slow down"}, UpstreamRateLimited),
        (404, {"code": "404", "message": "Resource not found"}, ModelNotFound),
    ],
)
async def test_errors_by_azures_codes(upstream, http, status, error, kind):
    headers = {"retry-after-ms": "250", "apim-request-id": "apim-1"}
    upstream.script(Answer.json(json.dumps({"error": error}).encode(), status=status, headers=headers))
    with pytest.raises(kind) as caught:
        await (await KIND.provider(upstream, http)).chat(ask(), "m")
    assert caught.value.fault.request_id == "apim-1"
    if kind is UpstreamRateLimited:
        assert caught.value.retry_after == 0.25
    if kind is PromptBlocked:
        assert caught.value.metadata["category"] == "violence"
