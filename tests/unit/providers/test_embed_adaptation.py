"""Requests for vectors without what a provider lacks; no input is ever left out, as each has its vector."""

from typing import Any

import pytest

from llmproxy_grpc.messages import CacheHint, EmbedPurpose, EmbedRequest, MediaKind, MediaPart, TextPart
from llmproxy_grpc.providers.embed_adaptation import adapt_embed
from llmproxy_grpc.providers.features import EmbedFeatures, Features, MediaFeature, Source
from llmproxy_grpc.providers.provider import Unsupported

TEXT = TextPart(text="x")
PICTURE = MediaPart(kind=MediaKind.IMAGE, data=b"x", media_type="image/png")
BARE = Features(names=("bare",), embed=EmbedFeatures())


def embed(*inputs: Any, **fields: Any) -> EmbedRequest:
    return EmbedRequest("m", inputs or (TEXT,), **fields)


def can(**fields: Any) -> Features:
    return Features(names=("kind", "vendor"), embed=EmbedFeatures(**fields))


@pytest.mark.parametrize("features", [BARE, Features(names=("none",))])
def test_a_plain_request_passes_as_it_is(features):
    request = embed(TEXT, TEXT, end_user_id="ann", labels={"a": "b"})
    assert adapt_embed(request, features) == (request, ())
    assert adapt_embed(request, features)[0] is request


def test_everything_that_a_bare_model_lacks_is_named_and_gone():
    request = embed(TextPart(text="x", cache_hint=CacheHint()), dimensions=8, purpose=EmbedPurpose.QUERY)
    adapted, unsupported = adapt_embed(request, BARE)
    assert adapted == embed()
    assert [found.field for found in unsupported] == ["inputs[0].cache_hint", "dimensions", "purpose"]
    assert not any(found.essential for found in unsupported)


def test_what_a_model_can_stays():
    request = embed(dimensions=8, purpose=EmbedPurpose.QUERY)
    features = can(dimensions=True, purposes=frozenset({EmbedPurpose.QUERY}))
    assert adapt_embed(request, features) == (request, ())
    left, unsupported = adapt_embed(embed(purpose=EmbedPurpose.CLUSTERING), features)
    assert left.purpose is EmbedPurpose.UNSPECIFIED
    assert [found.field for found in unsupported] == ["purpose"]


def test_an_input_that_cannot_be_embedded_is_essential_and_stays():
    request = embed(TEXT, PICTURE)
    adapted, unsupported = adapt_embed(request, BARE)
    assert adapted is request
    assert unsupported == (Unsupported("inputs[1].image", "this provider takes no pictures", essential=True),)


def test_a_picture_that_a_model_takes_stays_and_its_data_uri_becomes_its_bytes():
    features = can(media={MediaKind.IMAGE: MediaFeature(prompts=Source.DATA)})
    by_uri = MediaPart(kind=MediaKind.IMAGE, uri="data:image/png;base64,eA==")
    assert adapt_embed(embed(by_uri, PICTURE), features) == (embed(PICTURE, PICTURE), ())
    _, unsupported = adapt_embed(embed(MediaPart(kind=MediaKind.IMAGE, uri="https://example.test/a.png")), features)
    assert [found.field for found in unsupported] == ["inputs[0].image"]


def test_the_options_of_other_kinds_go_in_silence_and_the_proxys_own_by_name():
    options = {"kind": {"truncate": "END", "input": ["other"]}, "other": {"a": 1}}
    adapted, unsupported = adapt_embed(embed(provider_options=options), can())
    assert adapted.provider_options == {"kind": {"truncate": "END"}}
    assert [found.field for found in unsupported] == ['provider_options["kind"].input']
