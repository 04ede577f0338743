import math
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy_grpc import messages as m
from llmproxy_grpc._gen.v1 import embed_pb2, generation_pb2
from llmproxy_grpc.wire import from_embed_response, to_embed_request
from llmproxy_grpc.wire.scalars import floats_packed, packed_floats, varint
from tests.unit.wire.test_response import call, describe

FLOATS = st.lists(st.floats(width=32, allow_nan=False), max_size=40)


def answered(*vectors, of=None, usage=None):
    response = m.EmbedResponse(tuple(array("f", vector) for vector in vectors), usage)
    return from_embed_response(response, of or call(method="Embed"), describe=describe)


def test_a_bare_request_has_the_defaults():
    request = embed_pb2.EmbedRequest(model="m", inputs=[{"text": "a"}, {"text": "b"}])
    assert to_embed_request(request) == m.EmbedRequest("m", (m.TextPart(text="a"), m.TextPart(text="b")))


def test_every_field_of_a_request_is_read():
    request = embed_pb2.EmbedRequest(
        model="m",
        inputs=[{"image": {"uri": "https://example.test/a.png"}}],
        dimensions=8,
        labels={"a": "b"},
        end_user_id="ann",
        routing={"providers": ["p"], "max_attempts": 2, "unsupported_params": "UNSUPPORTED_PARAMS_DROP"},
        purpose=embed_pb2.EMBED_PURPOSE_QUERY,
    )
    request.provider_options["cohere"].update({"truncate": "END"})
    assert to_embed_request(request) == m.EmbedRequest(
        model="m",
        inputs=(m.MediaPart(kind=m.MediaKind.IMAGE, uri="https://example.test/a.png"),),
        dimensions=8,
        purpose=m.EmbedPurpose.QUERY,
        end_user_id="ann",
        labels={"a": "b"},
        routing=m.RoutingPolicy(providers=("p",), max_attempts=2, drop_unsupported=True),
        provider_options={"cohere": {"truncate": "END"}},
    )


def test_a_purpose_from_the_future_is_unspecified():
    assert to_embed_request(embed_pb2.EmbedRequest(purpose=99)).purpose is m.EmbedPurpose.UNSPECIFIED


@given(st.lists(FLOATS, max_size=5))
def test_vectors_arrive_as_they_were_made(vectors):
    got = answered(*vectors)
    assert [list(embedding.values) for embedding in got.embeddings] == vectors
    assert embed_pb2.EmbedResponse.FromString(got.SerializeToString()) == got


def test_a_vector_as_long_as_any_arrives_whole():
    vector = [float(index) for index in range(70_000)]
    assert list(answered(vector).embeddings[0].values) == vector


def test_an_answer_says_by_whom_and_what_it_used():
    warning = m.Warning("PARAMETER_DROPPED", "purpose", "no")
    got = answered([1.0], of=call(usage=m.Usage(5, 0, 5), warnings=[warning]), usage=m.Usage(1, 0, 1))
    assert (got.id, got.model) == ("0190", "assistant")
    assert (got.route.provider, got.route.upstream_model) == ("openai", "gpt")
    assert (got.usage.input_tokens, got.usage.source) == (5, generation_pb2.USAGE_SOURCE_PROVIDER)
    assert [warned.code for warned in got.warnings] == ["PARAMETER_DROPPED"]
    assert answered([1.0], usage=m.Usage(1, 0, 1)).usage.input_tokens == 1
    assert not answered([1.0]).HasField("usage")


def test_text_that_utf_8_cannot_carry_is_mended():
    assert answered([0.5], of=call(upstream_model="m\ud83d")).route.upstream_model == "m\ufffd"


def test_floats_are_packed_with_the_lowest_byte_first_on_every_machine():
    native = array("f", [1.0, -2.5, math.pi])
    assert packed_floats(native) == embed_pb2.Embedding(values=native).SerializeToString()[2:]
    swapped = array("f", native)
    swapped.byteswap()
    assert packed_floats(swapped, "big") == packed_floats(native, "little")
    assert floats_packed(packed_floats(native)) == native
    assert floats_packed(packed_floats(native), "big") == swapped


@pytest.mark.parametrize("number", [0, 1, 127, 128, 300, 16_383, 16_384, 2**31])
def test_a_length_is_written_as_protobuf_does(number):
    assert embed_pb2.EmbedRequest(dimensions=number % 2**31).SerializeToString() in (
        b"\x18" + varint(number),
        b"\x18\0",
    )
