"""The kind azure over a real connection: where deployments are, how they are paid for, and Azure's own errors."""

import json

import pytest

from llmproxy_grpc.config.schema import ProviderConfig
from llmproxy_grpc.errors import ModelNotFound, PromptBlocked, UpstreamRateLimited
from llmproxy_grpc.messages import EmbedRequest, TextPart
from llmproxy_grpc.providers.azure import AzureProvider
from tests.fakes.faulty_upstream import Answer
from tests.providers.conversations import ask
from tests.providers.kinds.azure import KIND

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
