import pytest

from llmproxy_grpc import messages as m
from llmproxy_grpc._gen.v1 import chat_pb2, content_pb2
from llmproxy_grpc.wire import to_message, to_part, to_request


def request(**fields):
    fields = {"model": "m", "messages": [{"role": 3, "parts": [{"text": "hi"}]}]} | fields
    return chat_pb2.ChatRequest(**fields)


def test_a_bare_request_has_the_defaults():
    expected = m.ChatRequest(model="m", messages=(m.Message(m.Role.USER, (m.TextPart(text="hi"),)),))
    assert to_request(request()) == expected


def test_zero_is_a_value_and_unset_is_none():
    generation = to_request(request(generation={"temperature": 0, "top_k": 0, "seed": 0})).generation
    assert generation == m.GenerationConfig(temperature=0.0, top_k=0, seed=0)
    assert generation.top_p is None


def test_a_free_text_format_is_no_format():
    assert to_request(request(generation={"response_format": {"text": {}}})).generation.response_format is None
    assert to_request(request(generation={"response_format": {}})).generation.response_format is None


def test_numbers_of_enumerations_from_the_future_are_unspecified():
    got = to_request(
        request(
            messages=[{"role": 99, "parts": [{"image": {"uri": "a:b", "detail": 99}}]}],
            tool_choice={"mode": 99},
            generation={"reasoning": {"effort": 99}, "output_modalities": [1, 99]},
            routing={"unsupported_params": 99},
        )
    )
    assert got.tool_choice == m.ToolChoice()
    assert got.generation.reasoning == m.ReasoningConfig()
    assert got.generation.output_modalities == (m.Modality.TEXT,)
    assert not got.routing.drop_unsupported
    part = got.messages[0].parts[0]
    assert isinstance(part, m.MediaPart)
    assert part.detail is m.MediaDetail.UNSPECIFIED


def test_an_empty_message_and_an_empty_part_can_be_read():
    assert to_message(content_pb2.Message()).parts == ()
    assert to_part(content_pb2.ContentPart()) == m.TextPart(text="")


@pytest.mark.parametrize("source", ["data", "uri", "file_id"])
def test_media_has_exactly_the_source_that_was_set(source):
    value = b"x" if source == "data" else "x"
    part = to_part(content_pb2.ContentPart(audio={source: value}))
    assert part == m.MediaPart(kind=m.MediaKind.AUDIO, **{source: value})


def test_maps_are_copied_so_that_the_request_outlives_the_message():
    source = request(labels={"a": "b"}, generation={"logit_bias": {1: 2.0}})
    got = to_request(source)
    source.labels["a"] = "changed"
    source.generation.logit_bias.clear()
    assert got.labels == {"a": "b"}
    assert got.generation.logit_bias == {1: 2.0}


def test_integral_numbers_of_provider_options_become_integers():
    source = request()
    source.provider_options["openai"].update({"n": 3, "half": 0.5, "list": [1, {"deep": 2}], "none": None})
    options = to_request(source).provider_options["openai"]
    assert options == {"n": 3, "half": 0.5, "list": [1, {"deep": 2}], "none": None}
    assert type(options["n"]) is int
    assert type(options["list"][1]["deep"]) is int
