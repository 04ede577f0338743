"""Vectors of any provider: each checked, and none passed on that is not what it should be."""

import math
import struct
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy_grpc.errors import UpstreamProtocolError
from llmproxy_grpc.providers.vectors import from_bytes, read_vectors

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)


def little(*numbers):
    return struct.pack(f"<{len(numbers)}f", *numbers)


@given(
    st.integers(1, 9).flatmap(lambda length: st.lists(st.lists(FLOATS, min_size=length, max_size=length), min_size=1))
)
def test_numbers_and_their_bytes_make_the_same_vectors(vectors):
    as_numbers = read_vectors(vectors, inputs=len(vectors))
    as_bytes = read_vectors([little(*vector) for vector in vectors], inputs=len(vectors))
    assert as_numbers == as_bytes
    assert [list(vector) for vector in as_numbers] == vectors
    assert {vector.typecode for vector in as_numbers} == {"f"}


def test_whole_numbers_and_numbers_of_double_precision_are_rounded():
    (vector,) = read_vectors([[1, 0.1, -0.0]], inputs=1)
    assert vector == array("f", [1.0, 0.1, -0.0])


@pytest.mark.parametrize(
    ("sent", "inputs", "dimensions"),
    [
        ([], 1, None),
        ([[1.0]], 2, None),
        ([[1.0], [2.0]], 1, None),
        ([None], 1, None),
        ([[1.0], None], 2, None),
        ([[]], 1, None),
        ([b""], 1, None),
        ([[1.0], [1.0, 2.0]], 2, None),
        ([[1.0], little(1.0, 2.0)], 2, None),
        ([[1.0, 2.0, 3.0]], 1, 2),
        ([b"123"], 1, None),
        ([[1e39]], 1, None),
        ([[10**400]], 1, None),
        ([["1.0"]], 1, None),
        ([little(math.nan)], 1, None),
        ([little(1.0, math.inf)], 1, None),
        ([little(-math.inf, 1.0)], 1, None),
    ],
)
def test_what_is_no_vector_for_each_input_is_refused(sent, inputs, dimensions):
    with pytest.raises(UpstreamProtocolError, match="The provider's"):
        read_vectors(sent, inputs=inputs, dimensions=dimensions)


def test_the_largest_numbers_there_are_are_numbers():
    largest = 3.4028234663852886e38
    assert list(from_bytes(little(largest, -largest))) == [largest, -largest]


def test_bytes_mean_the_same_on_a_machine_of_the_other_order():
    swapped = struct.pack(">2f", 1.5, -2.0)
    assert list(from_bytes(swapped, "big")) == [1.5, -2.0]
