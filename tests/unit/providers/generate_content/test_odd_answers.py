"""Answers of odd shapes: what is no answer is an error, what is only strange costs nothing else."""

import json
from typing import Any

import pytest

from llmproxy_grpc.errors import UpstreamProtocolError, UpstreamServerError
from llmproxy_grpc.messages import (
    GenerationConfig,
    Modality,
    ModalityTokens,
    OpaquePart,
    ProviderResponse,
    ReasoningConfig,
    TextPart,
)
from llmproxy_grpc.providers.generate_content.stream import read_answer
from llmproxy_grpc.providers.http_chat import Reply
from tests.providers.conversations import ask


def read(*parts: Any, shown: bool = True, usage: Any = None, **candidate: Any) -> ProviderResponse:
    content = {"parts": list(parts)}
    body = {"candidates": [{"content": content, "finishReason": "STOP", **candidate}], "usageMetadata": usage}
    return read_bytes(json.dumps(body).encode(), shown=shown)


def read_bytes(data: bytes, *, shown: bool = True) -> ProviderResponse:
    request = ask(generation=GenerationConfig(reasoning=ReasoningConfig(include=shown)))
    reply = Reply(request, "m", "", lambda _: UpstreamServerError("failed"), lambda: "call_1")
    return read_answer(data, reply)


def parts_of(response: ProviderResponse) -> tuple[Any, ...]:
    return response.candidates[0].message.parts


def test_media_that_cannot_be_read_are_an_error():
    with pytest.raises(UpstreamProtocolError, match="media"):
        read({"inlineData": {"mimeType": "image/png", "data": "a"}})


PICTURE = {"inlineData": {"mimeType": "image/png", "data": "eA=="}, "thought": True}


def test_pictures_among_the_thinking_are_shown_with_it_alone():
    said = read(PICTURE, {"text": "x"})
    assert parts_of(said) == (OpaquePart(provider_kind="gemini", type="part", value=PICTURE), TextPart(text="x"))
    assert parts_of(read(PICTURE, {"text": "x"}, shown=False)) == (TextPart(text="x"),)


def test_half_a_character_beside_a_call_spoils_neither():
    data = (
        b'{"candidates":[{"content":{"parts":[{"text":"a\\ud83e"},{"functionCall":{"name":"f","args":{"n":1.0,"b":2}}}]},'
        b'"finishReason":"STOP"}]}'
    )
    text, call = parts_of(read_bytes(data))
    assert text.text == "a\ufffd"
    assert call.arguments_json == '{"n":1.0,"b":2}'


@pytest.mark.parametrize(
    ("candidate", "told"),
    [
        ({"logprobsResult": [1]}, 0),
        ({"logprobsResult": {"chosenCandidates": [{"token": "x"}, {"token": 1, "logProbability": -1}]}}, 1),
    ],
)
def test_strange_log_probabilities_are_left_out(candidate, told):
    assert len(read({"text": "x"}, **candidate).candidates[0].logprobs) == told


@pytest.mark.parametrize(
    "grounding",
    [
        {"groundingChunks": 1, "groundingSupports": [{"groundingChunkIndices": [0, True, "1"]}, 5]},
        {"groundingChunks": [7], "groundingSupports": [{"segment": 3, "groundingChunkIndices": [-1]}]},
        {"groundingSupports": {}},
    ],
)
def test_strange_sources_are_left_out(grounding):
    response = read({"text": "x"}, groundingMetadata=grounding)
    assert parts_of(response) == (TextPart(text="x"),)
    assert response.provider_metadata == {"groundingMetadata": grounding}


def test_sources_of_an_answer_without_text_stay_beside_it():
    cited = {"citations": [{"uri": "https://example.test/a", "startIndex": 0, "endIndex": 9}]}
    assert parts_of(read(citationMetadata=cited)) == ()


def test_counts_by_kind_of_content():
    usage = {
        "promptTokenCount": 10,
        "toolUsePromptTokenCount": 4,
        "candidatesTokenCount": 3,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 2}, {"modality": "AUDIO", "tokenCount": 8}, 3],
        "toolUsePromptTokensDetails": [{"modality": "AUDIO", "tokenCount": 4}],
        "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 3}, {"modality": "SMELL", "tokenCount": 1}],
    }
    told = read({"text": "x"}, usage=usage).usage
    assert (told.input_tokens, told.output_tokens, told.total_tokens) == (14, 3, 17)
    assert told.modality_tokens == (ModalityTokens(Modality.IMAGE, 0, 3), ModalityTokens(Modality.AUDIO, 12, 0))
    assert read({"text": "x"}, usage={"promptTokenCount": 1, "promptTokensDetails": 7}).usage.modality_tokens == ()


def test_an_error_in_a_list_is_an_error():
    with pytest.raises(UpstreamServerError):
        read_bytes(b'\r\n [{"error":{"code":500}}]')
    with pytest.raises(UpstreamProtocolError):
        read_bytes(b"[{}]")
