import math

import pytest
from google.protobuf.struct_pb2 import Struct
from msgspec import json

from llmproxy_grpc.wire import to_json
from llmproxy_grpc.wire.structs import MAX_DEPTH
from tests.fakes.structs import struct


def nested(levels, leaf):
    value = {"end": leaf}
    for _ in range(levels):
        value = {"in": value}
    return value


@pytest.mark.parametrize("number", [0, 1, -1, 2**53, -(2**53)])
def test_an_integral_number_becomes_an_integer(number):
    value = to_json(struct({"n": number}))["n"]
    assert value == number
    assert type(value) is int


@pytest.mark.parametrize("number", [0.5, 2.0**54, 1e300, -0.0])
def test_a_number_that_no_integer_says_exactly_stays_a_float(number):
    value = to_json(struct({"n": number}))["n"]
    assert type(value) is float
    assert math.copysign(1, value) == math.copysign(1, number)
    assert value == number


def test_numbers_that_are_not_finite_survive():
    value = to_json(struct({"nan": math.nan, "inf": math.inf, "huge": 10**400, "low": -(10**400)}))
    assert math.isnan(value["nan"])
    assert (value["inf"], value["huge"], value["low"]) == (math.inf, math.inf, -math.inf)


def test_a_value_without_a_kind_is_null():
    struct = Struct()
    struct.fields["unset"].SetInParent()
    assert to_json(struct) == {"unset": None}


@pytest.mark.parametrize("value", [{}, {"a": {}}, {"a": []}, {"a": [[], {}, None, ""]}])
def test_emptiness_survives(value):
    assert to_json(struct(value)) == value


def test_what_is_not_json_becomes_null():
    assert to_json(struct({"a": object(), "b": b"bytes"}))["a"] is None


@pytest.mark.parametrize("leaf", ["text", "\ud800"])
def test_the_deepest_json_can_still_be_parsed_inside_an_answer(leaf):
    given = nested(64, leaf)
    value = to_json(Struct.FromString(struct(given).SerializeToString()))
    for _ in range(MAX_DEPTH - 1):
        value = value["in"]
    assert json.decode(value["in"]) == nested(64 - MAX_DEPTH, leaf.replace("\ud800", "\ufffd"))


def test_lone_surrogates_are_replaced_at_every_depth():
    assert to_json(struct({"\ud800": ["\udfff", {"a": "\ud83d\ude00"}]})) == {"\ufffd": ["\ufffd", {"a": "😀"}]}
