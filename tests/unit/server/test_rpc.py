import uuid

from hypothesis import given
from hypothesis import strategies as st

from llmproxy_grpc.server.rpc import Randomness, record_id
from llmproxy_grpc.server.trailers import header_value


@given(st.integers(0, 2**48 - 1), st.binary(min_size=10, max_size=10))
def test_a_record_id_is_a_uuid_of_version_seven_that_holds_its_time(milliseconds, randomness):
    identifier = uuid.UUID(record_id(milliseconds, randomness))
    assert identifier.version == 7
    assert identifier.variant == uuid.RFC_4122
    assert identifier.int >> 80 == milliseconds


def test_record_ids_sort_by_time():
    assert record_id(1, b"\xff" * 10) < record_id(2, b"\x00" * 10)


def test_no_random_bytes_are_handed_out_twice():
    randomness = Randomness()
    taken = [randomness.take(10) for _ in range(1000)]
    assert {len(each) for each in taken} == {10}
    assert len(set(taken)) == 1000


@given(st.text())
def test_a_header_value_is_always_printable_ascii(text):
    value = header_value(text)
    assert value.isascii()
    assert value == "" or value.isprintable()
    assert len(value) <= 256
