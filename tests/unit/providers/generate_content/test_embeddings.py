"""How vectors are asked for and read."""

import json

import pytest

from llmproxy_grpc.messages import (
    EmbedPurpose,
    EmbedRequest,
    MediaKind,
    MediaPart,
    TextPart,
)
from llmproxy_grpc.providers.generate_content.embeddings import (
    encode_batch,
    encode_predict,
    encode_vertex_batch,
    read_batch,
)
from llmproxy_grpc.providers.generate_content.features import PURPOSES, features_of

UNCUT = {"autoTruncate": False}
SETTINGS = {"taskType": "RETRIEVAL_QUERY", "outputDimensionality": 64}


def test_vectors_are_asked_for_with_their_purpose_and_length():
    request = EmbedRequest("m", (TextPart(text="a"), TextPart(text="b")), 64, EmbedPurpose.QUERY)
    contents = [{"parts": [{"text": text}]} for text in ("a", "b")]
    assert json.loads(encode_batch(request, "models/m")) == {
        "requests": [{"model": "models/m", "content": content, **SETTINGS} for content in contents]
    }
    assert json.loads(encode_vertex_batch(request)) == {
        "requests": [{"content": content, "embedContentConfig": UNCUT | SETTINGS} for content in contents]
    }
    assert json.loads(encode_predict(request)) == {
        "instances": [{"content": text, "task_type": "RETRIEVAL_QUERY"} for text in ("a", "b")],
        "parameters": UNCUT | {"outputDimensionality": 64},
    }


def test_vertex_ai_cuts_off_nothing_unless_it_is_told_to():
    request = EmbedRequest("m", (TextPart(text="a"),), provider_options={"gemini": {"autoTruncate": True}})
    assert json.loads(encode_predict(request))["parameters"] == {"autoTruncate": True}
    (sent,) = json.loads(encode_vertex_batch(request))["requests"]
    assert sent["embedContentConfig"] == {"autoTruncate": True}


def test_models_of_vertex_ais_older_api_take_so_much_text_at_once():
    assert features_of("text-embedding-005", vertex=True).embed.most_bytes == 50_000
    assert not features_of("gemini-embedding-001", vertex=True).embed.most_bytes
    assert not features_of("gemini-embedding-001").embed.most_bytes


def test_from_version_2_on_models_are_not_told_what_their_vectors_are_for():
    assert features_of("gemini-embedding-001").embed.purposes == set(PURPOSES)
    for model in ("gemini-embedding-2", "gemini-embedding-2-preview"):
        assert not features_of(model).embed.purposes
        assert not features_of(model, vertex=True).embed.purposes


def test_the_models_own_length_and_no_purpose_are_left_to_it():
    request = EmbedRequest("m", (MediaPart(kind=MediaKind.IMAGE, data=b"x", media_type="image/png"),))
    content = {"parts": [{"inlineData": {"mimeType": "image/png", "data": "eA=="}}]}
    assert json.loads(encode_vertex_batch(request)) == {"requests": [{"content": content, "embedContentConfig": UNCUT}]}
    assert json.loads(encode_batch(request, "models/m")) == {"requests": [{"model": "models/m", "content": content}]}
    assert features_of("gemini-embedding-2").embed.media
    assert not features_of("gemini-embedding-001").embed.media


@pytest.mark.parametrize(
    ("body", "tokens"),
    [
        (b'{"embeddings":[{"values":[1]},{"values":[2]}],"usageMetadata":{"promptTokenCount":12}}', 12),
        (b'{"embeddings":[{"values":[1],"statistics":{"tokenCount":3}},{"values":[2]}]}', 3),
        (b'{"embeddings":[{"values":[1]},{"values":[2]}]}', None),
    ],
)
def test_vectors_tell_their_tokens_where_the_provider_does(body, tokens):
    response = read_batch(body, EmbedRequest("m", (TextPart(text="a"), TextPart(text="b"))))
    assert [list(vector) for vector in response.vectors] == [[1], [2]]
    assert (response.usage and response.usage.input_tokens) == tokens
