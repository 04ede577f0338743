import pytest
from hypothesis import given

from llmproxy_grpc._gen.v1 import embed_pb2
from llmproxy_grpc.server.validation import bounds, unknown_fields, validate_embed
from llmproxy_grpc.server.validation.bounds import MAX_VIOLATIONS
from llmproxy_grpc.wire import to_embed_request
from tests.unit.server.validation.arbitrary import messages
from tests.unit.server.validation.test_anything import many

PICTURE = {"image": {"uri": "https://example.test/a.png"}}


def embed(*inputs, **fields):
    return embed_pb2.EmbedRequest(**({"model": "m", "inputs": inputs or [{"text": "a"}]} | fields))


def unset(request):
    request.inputs.add()
    return request


WRONG = {
    "no model": (embed(model=""), "model"),
    "a long model": (embed(model="m" * 257), "model"),
    "no inputs": (embed_pb2.EmbedRequest(model="m"), "inputs"),
    "too many inputs": (embed(*[{"text": "a"}] * (bounds.MAX_INPUTS + 1)), "inputs"),
    "an input of nothing": (unset(embed()), "inputs[1]"),
    "an empty text": (embed({"text": "a"}, {"text": ""}), "inputs[1].text"),
    "a tool call": (embed({"tool_call": {"id": "c", "name": "f"}}), "inputs[0].tool_call"),
    "a tool result": (embed({"tool_result": {"tool_call_id": "c"}}), "inputs[0].tool_result"),
    "thinking": (embed({"reasoning": {"text": "hm"}}), "inputs[0].reasoning"),
    "a refusal": (embed({"refusal": "no"}), "inputs[0].refusal"),
    "a block of a provider": (embed({"opaque": {"provider_kind": "openai"}}), "inputs[0].opaque"),
    "many citations": (embed(*[{"text": "a", "citations": [{}] * 5001}] * 2), "inputs[1].citations"),
    "a picture that is nowhere": (embed({"image": {}}), "inputs[0].image"),
    "a picture without bytes": (embed({"image": {"data": b"", "media_type": "image/png"}}), "inputs[0].image.data"),
    "a picture of no type": (embed({"image": {"data": b"x"}}), "inputs[0].image.media_type"),
    "no dimensions": (embed(dimensions=0), "dimensions"),
    "fewer than none": (embed(dimensions=-1), "dimensions"),
    "very long vectors": (embed(dimensions=16_385), "dimensions"),
    "a purpose from the future": (embed(purpose=99), "purpose"),
    "a long end user": (embed(end_user_id="u" * 257), "end_user_id"),
    "an empty label key": (embed(labels={"": "v"}), 'labels[""]'),
    "no attempts": (embed(routing={"max_attempts": 0}), "routing.max_attempts"),
    "an option of an odd kind": (embed(provider_options={"Open AI": {}}), 'provider_options["Open AI"]'),
}

RIGHT = {
    "a text": embed(),
    "as many inputs as are allowed": embed(*[{"text": "a"}] * bounds.MAX_INPUTS),
    "white space": embed({"text": " "}),
    "a picture": embed(PICTURE, {"text": "a"}),
    "every purpose": embed(purpose=embed_pb2.EMBED_PURPOSE_SIMILARITY),
    "short vectors": embed(dimensions=1),
    "everything else": embed(end_user_id="ann", labels={"a": "b"}, routing={"providers": ["p"]}),
}


@pytest.mark.parametrize(("request_", "field"), WRONG.values(), ids=WRONG)
def test_a_wrong_field_is_named_by_its_path(request_, field):
    assert [violation.field for violation in validate_embed(request_)] == [field]


@pytest.mark.parametrize("request_", RIGHT.values(), ids=RIGHT)
def test_what_is_right_passes(request_):
    assert validate_embed(request_) == []


def test_every_wrong_field_is_named_at_once():
    wrong = embed({"text": ""}, {"refusal": "no"}, model="", dimensions=0, purpose=9)
    fields = [violation.field for violation in validate_embed(wrong)]
    assert fields == ["model", "inputs[0].text", "inputs[1].refusal", "dimensions", "purpose"]


def test_a_newer_clients_fields_are_found_by_number():
    newer = embed_pb2.EmbedRequest.FromString(embed(routing={}).SerializeToString() + bytes([0xF8, 0x7F, 0x01]))
    newer.routing.MergeFromString(bytes([0xF8, 0x7F, 0x01]))
    assert unknown_fields(newer) == ["2047", "routing.2047"]


@many
@given(messages(embed_pb2.EmbedRequest))
def test_no_request_is_too_odd_to_be_judged_and_read(request):
    assert len(validate_embed(request)) <= MAX_VIOLATIONS + 1
    assert to_embed_request(request).model == request.model
