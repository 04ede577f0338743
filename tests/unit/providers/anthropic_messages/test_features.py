"""What Anthropic's models honour."""

import pytest

from llmproxy_grpc.messages import (
    FunctionTool,
    GenerationConfig,
    JsonObjectFormat,
    JsonSchemaFormat,
    MediaKind,
    MediaPart,
    Message,
    Role,
)
from llmproxy_grpc.providers.anthropic_messages.features import adapt_messages
from tests.providers.conversations import ask

OLD, OLDER = "claude-haiku-4-5", "claude-opus-4-1"


def named(model, **fields):
    return [found.field for found in adapt_messages(ask(**fields), model).unsupported]


def test_what_no_model_of_the_api_has_is_named():
    config = GenerationConfig(
        seed=1,
        top_logprobs=1,
        candidate_count=2,
        presence_penalty=1.0,
        logit_bias={1: 1.0},
        response_format=JsonObjectFormat(),
    )
    assert named(OLD, generation=config) == [
        "generation.seed",
        "generation.presence_penalty",
        "generation.top_logprobs",
        "generation.logit_bias",
        "generation.candidate_count",
        "generation.response_format.json_object",
    ]


@pytest.mark.parametrize(
    ("model", "fields"),
    [(OLD, []), (OLDER, ["tools[0].function.strict", "generation.response_format.json_schema"])],
)
def test_schemas_bind_newer_models_alone(model, fields):
    config = GenerationConfig(response_format=JsonSchemaFormat("n", "{}"))
    found = named(model, tools=(FunctionTool("f", strict=True),), generation=config)
    assert sorted(found) == sorted(fields)


@pytest.mark.parametrize(
    ("part", "taken"),
    [
        (MediaPart(kind=MediaKind.IMAGE, uri="https://example.test/i.png"), True),
        (MediaPart(kind=MediaKind.IMAGE, uri="s3://bucket/i.png"), False),
        (MediaPart(kind=MediaKind.IMAGE, data=b"x", media_type="image/tiff"), False),
        (MediaPart(kind=MediaKind.DOCUMENT, data=b"x", media_type="application/pdf"), True),
        (MediaPart(kind=MediaKind.DOCUMENT, data=b"x", media_type="text/csv"), False),
        (MediaPart(kind=MediaKind.AUDIO, data=b"x", media_type="audio/wav"), False),
        (MediaPart(kind=MediaKind.VIDEO, file_id="f"), False),
    ],
)
def test_pictures_and_documents_of_some_types_are_taken(part, taken):
    assert (named(OLD, messages=(Message(Role.USER, (part,)),)) == []) == taken
