"""Options that would change what is asked of whom: refused by name, whatever the kind and however they are written."""

import pytest

from llmproxy_grpc.messages import EmbedRequest, GenerationConfig, TextPart
from llmproxy_grpc.providers.embed_adaptation import adapt_embed
from tests.providers.conversations import ask, collected
from tests.providers.kinds import HTTP_KINDS, SPECIMENS

DENIED = {
    "model": "expensive",
    "Model": "expensive",
    "MODEL": "expensive",
    "modelId": "expensive",
    "models": ["expensive"],
    "route": "fallback",
    "fallbacks": ["expensive"],
    "compound_custom": {"models": {"answering_model": "expensive"}},
    "lora_path": "expensive",
    "Stream": True,
    "\u017ftream": True,  # which is an s for Go
    "background": True,
    "deferred": True,
    "Messages": [],
    "baseURL": "http://elsewhere.test",
    "api-key": "theirs",
    "extra_headers": {"authorization": "theirs"},
    "bootstrap_host": "elsewhere.test",
    "kv_transfer_params": {"remote_host": "elsewhere.test"},
    "data_sources": [{"type": "azure_search", "parameters": {"authentication": {"type": "access_token"}}}],
    "dataSources": [{"type": "AzureCognitiveSearch"}],
}
ALLOWED = {"own_setting": 1, "modelling": 2, "provider": {"order": ["a"]}}
KINDS = [pytest.param(kind, id=kind.name) for kind in HTTP_KINDS]


@pytest.mark.parametrize("kind", [pytest.param(each, id=each.name) for each in SPECIMENS if each.names_unsupported])
async def test_every_denied_option_is_named_for_chat_and_for_embed(kind):
    async with kind.open() as provider:
        for name in provider.features(kind.model).names:
            options = {name: {**DENIED, **ALLOWED}, "another": {"model": "x"}}
            wanted = {f'provider_options["{name}"].{option}' for option in DENIED}
            adapted = provider.adapt(ask(provider_options=options), kind.model)
            assert {each.field for each in adapted.unsupported} == wanted
            assert adapted.request.provider_options[name] == ALLOWED
            request = EmbedRequest("m", (TextPart(text="a"),), provider_options=options)
            vectors, unsupported = adapt_embed(request, provider.features(kind.embed_model or kind.model))
            assert wanted <= {each.field for each in unsupported}
            assert vectors.provider_options[name] == ALLOWED


@pytest.mark.parametrize("kind", KINDS)
async def test_what_is_denied_is_not_sent_even_to_a_wire_that_nobody_adapted_for(kind, upstream, http):
    provider = await kind.provider(upstream, http)
    upstream.handler = kind.respond

    async def sent(**options):
        request = ask(generation=GenerationConfig(max_output_tokens=7), provider_options=options)
        await collected(provider.stream(request, kind.model))
        return upstream.requests[-1].json()

    plain = await sent()
    for name in provider.features(kind.model).names:
        assert await sent(**{name: DENIED}) == plain
        assert await sent(**{name: ALLOWED}) == {**plain, **ALLOWED}


@pytest.mark.parametrize("kind", [kind for kind in HTTP_KINDS if kind.name == "openai"])
@pytest.mark.parametrize("preset", ["openrouter", "litellm", "groq", "sglang"])
async def test_the_same_goes_for_the_options_of_a_preset(kind, preset, upstream, http):
    provider = await kind.provider(upstream, http, preset=preset)
    adapted = provider.adapt(ask(provider_options={preset: DENIED}), kind.model)
    assert len(adapted.unsupported) == len(DENIED)
    assert adapted.request.provider_options[preset] == {}
