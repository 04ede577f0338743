"""Where media may be: on the web for most vendors, in the storage of a cloud for those that have one."""

import pytest

from llmproxy_grpc.config.schema import ProviderConfig
from llmproxy_grpc.messages import MediaKind, MediaPart, Message, Role
from llmproxy_grpc.providers import registry
from tests.providers.conversations import ask

WEB = {"http", "https"}
TAKEN = [
    ({"kind": "openai", "preset": "openai"}, WEB),
    ({"kind": "openai", "preset": "openai", "api": "responses"}, WEB),
    ({"kind": "openai", "preset": "openrouter"}, WEB),
    ({"kind": "openai", "preset": "vllm"}, WEB),
    ({"kind": "openai", "preset": "litellm"}, {*WEB, "gs", "s3"}),
    ({"kind": "openai", "preset": "compatible"}, {*WEB, "gs", "s3"}),
    ({"kind": "openai", "preset": "compatible", "api": "responses"}, {*WEB, "gs", "s3"}),
    ({"kind": "openai", "preset": "groq", "quirks": {"any_uri": True}}, {*WEB, "gs", "s3"}),
    ({"kind": "azure"}, WEB),
    ({"kind": "mistral"}, WEB),
    ({"kind": "cohere"}, WEB),
    ({"kind": "gemini"}, {"https", "gs"}),
]


@pytest.mark.parametrize(("config", "taken"), TAKEN)
def test_an_address_that_a_vendor_cannot_fetch_is_refused_by_its_path(http, config, taken):
    provider = registry.build(ProviderConfig(name="p", base_url="https://x.test", api_key="test-key", **config), http)
    for scheme in ("http", "https", "gs", "s3"):
        picture = MediaPart(kind=MediaKind.IMAGE, uri=f"{scheme}://example/a.png")
        adapted = provider.adapt(ask(messages=(Message(Role.USER, (picture,)),)), "m")
        refused = [] if scheme in taken else ["messages[0].parts[0].image"]
        assert [each.field for each in adapted.unsupported] == refused
