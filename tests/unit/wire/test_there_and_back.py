from hypothesis import given, settings

from llmproxy_grpc import messages as m
from llmproxy_grpc import wire
from llmproxy_grpc._gen.v1 import chat_pb2, content_pb2, embed_pb2, generation_pb2, model_pb2
from llmproxy_grpc.server.validation import validate
from tests.fakes.structs import struct
from tests.unit.wire import values
from tests.unit.wire.test_response import call, describe

few = settings(deadline=None, max_examples=60)


@few
@given(values.requests())
def test_a_valid_request_survives_the_wire(request):
    received = chat_pb2.ChatRequest.FromString(wire.from_request(request).SerializeToString())
    assert validate(received) == []
    assert wire.to_request(received) == request


@settings(deadline=None, max_examples=15)
@given(values.requests())
def test_a_request_is_the_same_whatever_is_asked_of_it(request):
    bare = wire.from_request(request)
    stream = chat_pb2.StreamRequest.FromString(wire.stream_request(request).SerializeToString())
    count = model_pb2.CountTokensRequest.FromString(wire.count_request(request).SerializeToString())
    assert stream.chat == count.chat == bare
    assert not stream.HasField("options")


@few
@given(values.EMBED_REQUESTS)
def test_a_request_for_vectors_survives_the_wire(request):
    received = embed_pb2.EmbedRequest.FromString(wire.from_embed_request(request).SerializeToString())
    assert wire.to_embed_request(received) == request


@few
@given(values.MESSAGES)
def test_a_message_survives_the_wire(message):
    sent = wire.from_request(m.ChatRequest(model="", messages=(message,))).messages[0].SerializeToString()
    assert wire.to_message(content_pb2.Message.FromString(sent)) == message


@few
@given(values.PARTS)
def test_a_part_survives_the_wire(part):
    assert wire.to_part(wire.delta_event(0, m.PartDelta(part=part)).delta.part) == part


@few
@given(values.JSON_OBJECTS)
def test_json_survives_a_struct(value):
    assert wire.to_json(struct(value)) == value


@few
@given(values.RESPONSES)
def test_an_answer_survives_the_wire(response):
    sent = wire.from_response(response, call(warnings=list(response.warnings)), describe=describe)
    received = chat_pb2.ChatResponse.FromString(sent.SerializeToString())
    assert wire.to_response(received) == response


@few
@given(values.USAGES)
def test_usage_survives_the_wire(usage):
    sent = wire.from_usage(usage).SerializeToString()
    assert wire.to_usage(generation_pb2.Usage.FromString(sent)) == usage


@few
@given(values.EMBED_RESPONSES)
def test_vectors_survive_the_wire(response):
    sent = wire.from_embed_response(response, call(warnings=list(response.warnings)), describe=describe)
    received = embed_pb2.EmbedResponse.FromString(sent.SerializeToString())
    assert wire.to_embed_response(received) == response


@few
@given(values.DELTAS)
def test_a_delta_survives_the_wire(delta):
    sent = wire.delta_event(1, delta).SerializeToString()
    assert wire.to_delta(chat_pb2.StreamResponse.FromString(sent).delta) == delta


@few
@given(values.FINISHES)
def test_the_end_of_a_candidate_survives_the_wire(finish):
    sent = wire.finish_event(1, finish).SerializeToString()
    assert wire.to_finish(chat_pb2.StreamResponse.FromString(sent).finish) == finish


def test_every_kind_of_part_can_be_written():
    named = {"kind": m.MediaKind.IMAGE, "text": "t", "id": "i", "name": "n", "arguments_json": "{}"}
    named |= {"tool_call_id": "i", "provider_kind": "k", "type": "t", "value": {}}
    for kind in m.Part.__subclasses__():
        part = kind(**{name: named[name] for name in kind.__struct_fields__ if name in named})
        assert wire.delta_event(0, m.PartDelta(part=part)).delta.part.WhichOneof("part")
