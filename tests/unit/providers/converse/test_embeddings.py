"""Vectors: the body that each line of models wants, and the answers they give."""

import json
from typing import Any

import pytest

from llmproxy_grpc.errors import InvalidRequest, UpstreamProtocolError
from llmproxy_grpc.messages import EmbedPurpose, EmbedRequest, MediaKind, MediaPart, TextPart
from llmproxy_grpc.providers.converse.embed_layouts import Layout, layout_of
from llmproxy_grpc.providers.converse.embeddings import encode_embed, read_embed
from llmproxy_grpc.providers.embed_adaptation import adapt_embed
from llmproxy_grpc.providers.features import Features

TITAN, TITAN_TWO = "amazon.titan-embed-g1-text-02", "amazon.titan-embed-text-v2:0"
TITAN_IMAGE = "amazon.titan-embed-image-v1"
COHERE, COHERE_FOUR = "cohere.embed-multilingual-v3", "eu.cohere.embed-v4:0"
NOVA = "amazon.nova-2-multimodal-embeddings-v1:0"
TEXT, PICTURE = TextPart(text="a"), MediaPart(kind=MediaKind.IMAGE, data=b"x", media_type="image/png")


def layout(model: str) -> Layout:
    found = layout_of(model)
    assert found is not None
    return found


def asked(*inputs: TextPart | MediaPart, **fields: Any) -> EmbedRequest:
    return EmbedRequest("m", inputs or (TEXT,), **fields)


def body(model: str, request: EmbedRequest) -> dict[str, Any]:
    return json.loads(encode_embed(request, layout(model), ("bedrock",)))


def read(model: str, answer: Any, request: EmbedRequest, counted: str = "") -> Any:
    data = json.dumps(answer).encode()
    return read_embed(data, request, layout(model), counted=counted, failed=lambda _: InvalidRequest("no"))


@pytest.mark.parametrize(
    ("model", "request_", "sent"),
    [
        (TITAN, asked(), {"inputText": "a"}),
        (TITAN_TWO, asked(dimensions=256), {"inputText": "a", "dimensions": 256}),
        (TITAN_IMAGE, asked(dimensions=256), {"inputText": "a", "embeddingConfig": {"outputEmbeddingLength": 256}}),
        (TITAN_IMAGE, asked(PICTURE), {"inputImage": "eA=="}),
        (COHERE, asked(TEXT, TEXT), {"texts": ["a", "a"], "input_type": "search_document"}),
        (COHERE, asked(purpose=EmbedPurpose.QUERY), {"texts": ["a"], "input_type": "search_query"}),
        (
            COHERE_FOUR,
            asked(TEXT, PICTURE, dimensions=512, purpose=EmbedPurpose.CLUSTERING),
            {
                "inputs": [
                    {"content": [{"type": "text", "text": "a"}]},
                    {"content": [{"type": "image_url", "image_url": "data:image/png;base64,eA=="}]},
                ],
                "input_type": "clustering",
                "output_dimension": 512,
            },
        ),
        (COHERE_FOUR, asked(), {"texts": ["a"], "input_type": "search_document"}),
        (
            NOVA,
            asked(dimensions=384),
            {
                "taskType": "SINGLE_EMBEDDING",
                "singleEmbeddingParams": {
                    "embeddingPurpose": "GENERIC_INDEX",
                    "embeddingDimension": 384,
                    "text": {"truncationMode": "NONE", "value": "a"},
                },
            },
        ),
        (
            NOVA,
            asked(PICTURE, purpose=EmbedPurpose.QUERY),
            {
                "taskType": "SINGLE_EMBEDDING",
                "singleEmbeddingParams": {
                    "embeddingPurpose": "GENERIC_RETRIEVAL",
                    "image": {"format": "png", "source": {"bytes": "eA=="}},
                },
            },
        ),
    ],
)
def test_each_line_of_models_is_asked_in_its_own_way(model, request_, sent):
    assert body(model, request_) == sent


def test_options_go_along():
    options = {"bedrock": {"truncate": "END", "texts": ["b"]}}
    assert body(COHERE, asked(provider_options=options)) == {
        "texts": ["a"],
        "input_type": "search_document",
        "truncate": "END",
    }


@pytest.mark.parametrize(
    ("model", "answer", "inputs"),
    [
        (TITAN, {"embedding": [1, 0.5], "inputTextTokenCount": 3}, 1),
        (TITAN_TWO, {"embedding": [1, 0.5], "embeddingsByType": {"float": [1, 0.5]}, "inputTextTokenCount": 3}, 1),
        (TITAN_IMAGE, {"embedding": [1, 0.5], "inputTextTokenCount": 3, "message": None}, 1),
        (COHERE, {"embeddings": [[1, 0.5], [1, 0.5]], "response_type": "embeddings_floats"}, 2),
        (COHERE_FOUR, {"embeddings": {"float": [[1, 0.5], [1, 0.5]]}, "response_type": "embeddings_by_type"}, 2),
        (NOVA, {"embeddings": [{"embeddingType": "TEXT", "embedding": [1, 0.5]}]}, 1),
    ],
)
def test_each_line_of_models_answers_in_its_own_way(model, answer, inputs):
    response = read(model, answer, asked(*[TEXT] * inputs), counted="3")
    assert [list(vector) for vector in response.vectors] == [[1, 0.5]] * inputs
    assert response.usage.input_tokens == response.usage.total_tokens == 3


@pytest.mark.parametrize("counted", ["", "-1", "x", "9" * 5000])
def test_a_count_that_is_none_is_not_told(counted):
    assert read(COHERE, {"embeddings": [[1]]}, asked(), counted=counted).usage is None


@pytest.mark.parametrize(
    ("model", "answer"),
    [
        (TITAN, {}),
        (TITAN, {"embedding": None}),
        (TITAN, {"embedding": ["x"]}),
        (COHERE, {"embeddings": [[1], [2]]}),
        (COHERE, {"embeddings": {"int8": [[1]]}}),
        (COHERE, {"embeddings": "x"}),
        (NOVA, {"embeddings": [{}]}),
        (NOVA, {"embeddings": None}),
    ],
)
def test_what_is_no_vector_for_each_input_is_an_error(model, answer):
    with pytest.raises(UpstreamProtocolError):
        read(model, answer, asked())


@pytest.mark.parametrize("model", [TITAN_IMAGE, COHERE, NOVA])
def test_a_message_in_place_of_vectors_is_the_providers_error(model):
    with pytest.raises(InvalidRequest):
        read(model, {"message": "Input is not valid."}, asked())


@pytest.mark.parametrize(("model", "named"), [(TITAN, ["inputs[0].image"]), (COHERE_FOUR, [])])
def test_pictures_are_for_models_that_read_them(model, named):
    _, unsupported = adapt_embed(asked(PICTURE), Features(names=("bedrock",), embed=layout(model).features))
    assert [found.field for found in unsupported] == named


def test_other_models_make_no_vectors():
    assert layout_of("anthropic.claude-sonnet-4-5-20250929-v1:0") is None
