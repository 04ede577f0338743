import json

import pytest

from llmproxy_grpc.errors import UpstreamProtocolError
from llmproxy_grpc.messages import Capability, Modality
from llmproxy_grpc.providers.chat_completions.models import read_page
from llmproxy_grpc.providers.listing import MOST_ENTRIES
from llmproxy_grpc.providers.provider import UpstreamModel

ALL = frozenset(Capability)
EVERYTHING = frozenset(Modality)
VECTORS_ALONE = {Capability.EMBED, Capability.COUNT_TOKENS}


def read_models(body):
    return read_page(body)[0]


def read_one(**entry):
    (model,) = read_models(json.dumps({"data": [{"id": "m", **entry}]}).encode())
    return model


@pytest.mark.parametrize(
    "body",
    [
        {"object": "list", "data": [{"id": "a"}, {"id": "b"}]},
        [{"id": "a"}, {"id": "b"}],
        {"models": [{"name": "models/a"}, {"model": "b"}]},
        {"models": [{"name": "x"}], "data": [{"id": "a"}, {"id": "b"}]},
        {"data": [{"id": "a"}, {"id": None}, {}, {"id": 7}, {"id": ""}, {"id": "a"}, {"id": "x\ny"}, {"id": "b"}]},
    ],
)
def test_lists_of_models_are_read_in_every_shape(body):
    assert [model.name for model in read_models(json.dumps(body).encode())] == ["a", "b"]


def test_limits_of_models_are_read_where_they_are_told():
    body = {
        "data": [
            {"id": "vllm", "max_model_len": 4096},
            {"id": "groq", "context_window": 131072, "max_completion_tokens": 8192},
            {"id": "openrouter", "context_length": 200000.5},
            {"id": "odd", "context_length": -1, "max_completion_tokens": True},
            {"id": "mistral", "max_context_length": 32768},
            {"id": "llama.cpp", "meta": {"n_ctx": 8192, "n_ctx_train": 131072}},
            {"id": "openrouter-2", "context_length": 200000, "top_provider": {"max_completion_tokens": 64000}},
            {"id": "odder", "meta": "x", "top_provider": [], "context_window": 2**40, "max_model_len": "8192"},
        ]
    }
    assert read_models(json.dumps(body).encode()) == (
        UpstreamModel("vllm", 4096),
        UpstreamModel("groq", 131072, 8192),
        UpstreamModel("openrouter"),
        UpstreamModel("odd"),
        UpstreamModel("mistral", 32768),
        UpstreamModel("llama.cpp", 8192),
        UpstreamModel("openrouter-2", 200000, 64000),
        UpstreamModel("odder"),
    )


@pytest.mark.parametrize("body", [b"", b"<html>", b"null", b"{}", b'{"data":null}', b'{"data":{"id":"a"}}', b"[1]"])
def test_what_is_no_list_of_models_cannot_be_read(body):
    with pytest.raises(UpstreamProtocolError):
        read_models(body)


def test_an_endless_list_of_models_is_cut():
    body = json.dumps([{"id": f"m{number}"} for number in range(MOST_ENTRIES + 5)]).encode()
    assert len(read_models(body)) == MOST_ENTRIES


def test_an_empty_list_of_models_is_one():
    assert read_models(b'{"data":[]}') == ()


@pytest.mark.parametrize(
    ("links", "query"),
    [
        ({"next": "/api/v1/models?offset=500&limit=500"}, "offset=500&limit=500"),
        ({"next": "https://elsewhere.example.com/steal?offset=1"}, "offset=1"),
        ({"next": "/api/v1/models"}, ""),
        ({"next": None}, ""),
        ({"next": 5}, ""),
        ({"next": "?a=b\r\nx: y"}, ""),
        ({"next": "?ä"}, ""),
        ({}, ""),
        ([], ""),
        (None, ""),
    ],
)
def test_the_next_page_is_known_by_its_query_alone(links, query):
    assert read_page(json.dumps({"data": [], "links": links}).encode()) == ((), query)


def test_a_list_that_tells_nothing_of_abilities_leaves_them_unknown():
    for entry in ({}, {"capabilities": ["completion"]}, {"architecture": {}}, {"architecture": {"modality": "text"}}):
        model = read_one(**entry)
        assert (model.capabilities, model.input_modalities, model.output_modalities) == (None, None, None)


def test_the_list_of_openrouter_tells_modalities_and_parameters():
    model = read_one(
        architecture={"input_modalities": ["text", "image", "file", "smell", 5], "output_modalities": ["text"]},
        supported_parameters=["tools", "tool_choice", "reasoning", "max_tokens"],
    )
    assert model.capabilities == {Capability.CHAT, Capability.TOOLS, Capability.REASONING, Capability.COUNT_TOKENS}
    assert model.input_modalities == {Modality.TEXT, Modality.IMAGE, Modality.DOCUMENT}
    assert model.output_modalities == {Modality.TEXT}


def test_a_model_that_writes_no_text_does_not_chat():
    model = read_one(architecture={"input_modalities": ["text"], "output_modalities": ["embeddings"]})
    assert (model.capabilities, model.output_modalities) == (VECTORS_ALONE, frozenset())


@pytest.mark.parametrize(
    ("flags", "denied", "inputs"),
    [
        ({"completion_chat": True, "function_calling": True, "vision": True}, {Capability.EMBED}, None),
        (
            {"completion_chat": True, "function_calling": False, "vision": False, "reasoning": False},
            {Capability.EMBED, Capability.TOOLS, Capability.REASONING},
            EVERYTHING - {Modality.IMAGE},
        ),
        ({"completion_chat": False, "function_calling": True}, ALL - VECTORS_ALONE, None),
        ({"completion_chat": None}, {Capability.EMBED}, None),
    ],
)
def test_the_list_of_mistral_denies_by_flags(flags, denied, inputs):
    model = read_one(capabilities=flags)
    assert model.capabilities == ALL - denied
    assert model.input_modalities == inputs


@pytest.mark.parametrize(
    ("entry", "denied", "inputs"),
    [
        ({"supports_chat": True, "supports_tools": True, "supports_image_input": True}, {Capability.EMBED}, None),
        (
            {"supports_chat": True, "supports_tools": False, "supports_image_input": False},
            {Capability.EMBED, Capability.TOOLS},
            EVERYTHING - {Modality.IMAGE},
        ),
        ({"supports_chat": False}, ALL - VECTORS_ALONE, None),
    ],
)
def test_the_list_of_fireworks_denies_by_flags(entry, denied, inputs):
    model = read_one(**entry)
    assert model.capabilities == ALL - denied
    assert model.input_modalities == inputs


@pytest.mark.parametrize(
    ("kind", "able"),
    [("chat", ALL - {Capability.EMBED}), ("embedding", VECTORS_ALONE), ("image", frozenset()), ("rerank", frozenset())],
)
def test_the_list_of_together_tells_the_type(kind, able):
    assert read_one(type=kind).capabilities == able


def test_a_listed_price_is_part_of_the_model():
    assert read_one(pricing={"prompt": "0.000001", "completion": "0.000002"}).price.rates.output == 2_000_000_000
    assert read_one(pricing={"prompt": "free"}).price is None
