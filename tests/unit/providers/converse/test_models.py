"""Lists of models: what can be called, and what each of them can do."""

import json
from typing import Any

import pytest

from llmproxy_grpc.errors import UpstreamProtocolError
from llmproxy_grpc.messages import Capability, Modality
from llmproxy_grpc.providers.converse.models import listed, read_models, read_profiles
from llmproxy_grpc.providers.provider import UpstreamModel


def read(models: list[Any], profiles: list[Any] | None = None) -> list[UpstreamModel]:
    page, _ = read_profiles(json.dumps({"inferenceProfileSummaries": profiles}).encode())
    return list(listed(read_models(json.dumps({"modelSummaries": models}).encode()), page))


def test_models_that_answer_under_a_profile_alone_are_listed_by_it_with_what_they_can_do():
    claude = {
        "modelId": "anthropic.claude",
        "inferenceTypesSupported": ["INFERENCE_PROFILE"],
        "inputModalities": ["TEXT", "IMAGE"],
        "outputModalities": ["TEXT"],
    }
    arns = [
        {"modelArn": "arn:aws:bedrock:eu-west-1::foundation-model/somebody.else"},
        {"modelArn": "arn:aws:bedrock:eu-west-3::foundation-model/anthropic.claude"},
    ]
    (model,) = read([claude], [{"inferenceProfileId": "eu.anthropic.claude", "models": arns}])
    assert model == UpstreamModel(
        "eu.anthropic.claude",
        input_modalities=frozenset({Modality.TEXT, Modality.IMAGE, Modality.DOCUMENT}),
        output_modalities=frozenset({Modality.TEXT}),
    )


@pytest.mark.parametrize(
    ("written", "capabilities"),
    [
        (["TEXT"], None),
        (["TEXT", "IMAGE"], None),
        (["EMBEDDING"], {Capability.EMBED}),
        (["IMAGE"], set()),
        (None, None),
    ],
)
def test_what_a_model_writes_tells_what_it_is_for(written, capabilities):
    (model,) = read([{"modelId": "m", "outputModalities": written, "inferenceTypesSupported": ["ON_DEMAND"]}])
    assert model.capabilities == capabilities


@pytest.mark.parametrize("odd", [{}, {"modelId": 3}, {"modelId": ""}, {"modelId": None}])
def test_entries_without_a_name_are_no_models(odd):
    assert read([odd], [{"inferenceProfileId": None}, {}]) == []


@pytest.mark.parametrize("odd", ["x", [["TEXT"], 1], {}, []])
def test_modalities_that_cannot_be_read_tell_nothing(odd):
    (model,) = read([{"modelId": "m", "inputModalities": odd}], [])
    assert model.input_modalities is None


def test_what_is_no_list_is_an_error():
    assert read_models(b"{}") == []
    assert read_profiles(b'{"nextToken":"n"}') == ([], "n")
    for read_one in (read_models, read_profiles):
        with pytest.raises(UpstreamProtocolError):
            read_one(b"[]")
