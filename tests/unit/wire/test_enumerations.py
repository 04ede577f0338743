from enum import IntEnum

import pytest

from llmproxy_grpc import messages
from llmproxy_grpc._gen.v1 import chat_pb2, content_pb2, embed_pb2, generation_pb2, model_pb2
from llmproxy_grpc.messages import enumerations

PAIRS = [
    (messages.Role, content_pb2.Role),
    (messages.MediaDetail, content_pb2.MediaDetail),
    (messages.ToolMode, content_pb2.ToolMode),
    (messages.ReasoningEffort, generation_pb2.ReasoningEffort),
    (messages.Modality, generation_pb2.Modality),
    (messages.FinishReason, generation_pb2.FinishReason),
    (messages.UsageSource, generation_pb2.UsageSource),
    (messages.Capability, model_pb2.Capability),
    (messages.EmbedPurpose, embed_pb2.EmbedPurpose),
]


@pytest.mark.parametrize(("ours", "theirs"), PAIRS, ids=lambda enum: getattr(enum, "__name__", ""))
def test_an_enumeration_has_the_numbers_of_the_api(ours, theirs):
    prefix = _snake(ours.__name__)
    expected = {name.removeprefix(prefix): number for name, number in theirs.items()}
    if "UNSPECIFIED" not in ours.__members__:
        del expected["UNSPECIFIED"]
    assert {member.name: member.value for member in ours} == expected


def test_every_enumeration_is_compared():
    ours = {value for value in vars(enumerations).values() if isinstance(value, type) and issubclass(value, IntEnum)}
    assert ours - {IntEnum} == {pair[0] for pair in PAIRS} | {messages.MediaKind}


def test_kinds_of_media_are_modalities_and_fields_of_a_part():
    for kind in messages.MediaKind:
        assert generation_pb2.Modality.Value(f"MODALITY_{kind.name}") == kind
        assert kind.name.lower() in content_pb2.ContentPart.DESCRIPTOR.fields_by_name


def test_the_settings_of_generation_have_the_names_of_the_api():
    ours = set(messages.GenerationConfig.__struct_fields__)
    assert ours == set(generation_pb2.GenerationConfig.DESCRIPTOR.fields_by_name)


def test_every_field_of_a_request_has_a_place_inside_or_is_a_feature_to_come():
    to_come = {"idempotency_key", "cache"}
    ours_alone = {"begun"}  # the router's word to a provider that goes on with an answer
    theirs = set(chat_pb2.ChatRequest.DESCRIPTOR.fields_by_name)
    assert set(messages.ChatRequest.__struct_fields__) - ours_alone == theirs - to_come


def _snake(name):
    return "".join(f"_{c}" if c.isupper() else c.upper() for c in name).lstrip("_") + "_"
