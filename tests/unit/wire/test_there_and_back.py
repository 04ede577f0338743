from hypothesis import given, settings

from llmproxy_grpc import messages as m
from llmproxy_grpc._gen.v1 import chat_pb2, content_pb2
from llmproxy_grpc.server.validation import validate
from llmproxy_grpc.wire import from_json, from_message, from_part, to_json, to_message, to_part, to_request
from tests.unit.wire.values import JSON_OBJECTS, MESSAGES, PARTS, from_request, requests

few = settings(deadline=None, max_examples=60)


@few
@given(requests())
def test_a_valid_request_survives_the_wire(request):
    sent = from_request(request).SerializeToString()
    received = chat_pb2.ChatRequest.FromString(sent)
    assert validate(received) == []
    assert to_request(received) == request


@few
@given(MESSAGES)
def test_a_message_survives_the_wire(message):
    sent = from_message(message).SerializeToString()
    assert to_message(content_pb2.Message.FromString(sent)) == message


@few
@given(PARTS)
def test_a_part_survives_the_wire(part):
    assert to_part(from_part(part)) == part


@few
@given(JSON_OBJECTS)
def test_json_survives_a_struct(value):
    assert to_json(from_json(value)) == value


def test_every_kind_of_part_can_be_written():
    values = {"kind": m.MediaKind.IMAGE, "text": "t", "id": "i", "name": "n", "arguments_json": "{}"}
    values |= {"tool_call_id": "i", "provider_kind": "k", "type": "t", "value": {}}
    for kind in m.Part.__subclasses__():
        part = kind(**{name: values[name] for name in kind.__struct_fields__ if name in values})
        assert from_part(part).WhichOneof("part")
