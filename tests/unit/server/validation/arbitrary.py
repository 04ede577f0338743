"""Strategies for any message at all, made from its descriptor: nothing about it needs to make sense."""

from functools import cache

from google.protobuf.descriptor import FieldDescriptor as Field
from google.protobuf.message_factory import GetMessageClass
from hypothesis import strategies as st

INTEGERS = {
    Field.CPPTYPE_INT32: st.integers(-(2**31), 2**31 - 1),
    Field.CPPTYPE_INT64: st.integers(-(2**63), 2**63 - 1),
    Field.CPPTYPE_ENUM: st.integers(-1, 12) | st.integers(-(2**31), 2**31 - 1),
}
WORDS = st.sampled_from(["", "a", "get_weather", "{}", "[", '{"type":"object"}', "image/png", "a\x00b", "x" * 300])
SCALARS = INTEGERS | {
    Field.CPPTYPE_DOUBLE: st.floats(),
    Field.CPPTYPE_BOOL: st.booleans(),
    Field.CPPTYPE_STRING: WORDS | st.text(max_size=20),
}


def messages(message_class, depth=5):
    """Any message of a class, with at most so many levels."""
    return _bodies(message_class.DESCRIPTOR, depth).map(message_class.FromString)


@cache
def _bodies(descriptor, depth):
    fields = [field for field in descriptor.fields if depth or field.cpp_type != Field.CPPTYPE_MESSAGE]
    if not fields:
        return st.just(b"")
    # Fields of one oneof may come together, as on a wire: the last one wins.
    chosen = st.lists(st.sampled_from(fields), max_size=6, unique_by=lambda field: field.number)
    return chosen.flatmap(lambda some: _filled(descriptor, some, depth))


def _filled(descriptor, fields, depth):
    encoded = st.tuples(*[_field(descriptor, field, depth) for field in fields])
    return encoded.map(b"".join)


@cache
def _field(descriptor, field, depth):
    """The bytes of one field."""
    message_class = GetMessageClass(descriptor)
    if field.message_type is not None:
        body = st.deferred(lambda: _bodies(field.message_type, depth - 1))
        many = st.lists(body, min_size=1, max_size=3 if field.is_repeated else 1)
        return many.map(lambda bodies: b"".join(_delimited(field.number, one) for one in bodies))
    value = st.binary(max_size=8) if field.type == Field.TYPE_BYTES else SCALARS[field.cpp_type]
    if field.is_repeated:
        value = st.lists(value, max_size=3)
    return value.map(lambda item: message_class(**{field.name: item}).SerializeToString())


def _delimited(number, body):
    return _varint(number << 3 | 2) + _varint(len(body)) + body


def _varint(value):
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    return bytes([*encoded, value])
