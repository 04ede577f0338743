"""How alike texts are told to be, short and long ones."""

import random

import pytest

from llmproxy_grpc._gen.v1 import chat_pb2
from llmproxy_grpc.export.similarity import MOST_HASHES, jaccard, shingles
from llmproxy_grpc.export.similarity_process import sketch
from tests.fakes.exports import message


def sets_alike(size, share, chance):
    """Two ordered sets of hashes that share so much of what either has."""
    both = int(size * share)
    drawn = chance.sample(range(2**32), size)
    rest = drawn[both:]
    one, other = drawn[:both] + rest[::2], drawn[:both] + rest[1::2]
    return sorted(one), sorted(other)


@pytest.mark.parametrize("size", [1, 2, 100, MOST_HASHES - 1, MOST_HASHES])
def test_short_texts_are_compared_whole(size):
    one, other = sets_alike(size, 0.85, random.Random(size))
    assert jaccard(one, other) == len(set(one) & set(other)) / len(set(one) | set(other))
    assert jaccard(one, one) == 1.0
    assert jaccard(one, []) == 0.0
    assert jaccard([], []) == 1.0


@pytest.mark.parametrize("share", [0.0, 0.5, 0.8, 0.85, 0.9, 1.0])
@pytest.mark.parametrize("size", [MOST_HASHES + 1, 3 * MOST_HASHES, 20 * MOST_HASHES])
def test_long_texts_are_compared_by_their_least_hashes(size, share):
    one, other = sets_alike(size, share, random.Random(size))
    exact = len(set(one) & set(other)) / len(set(one) | set(other))
    assert jaccard(one, other) == pytest.approx(exact, abs=0.02)
    assert jaccard(one[:MOST_HASHES], other[:MOST_HASHES]) == jaccard(one, other)


def test_a_short_text_is_not_like_a_long_one_that_has_it_within():
    long = sorted(random.Random(1).sample(range(2**32), 10 * MOST_HASHES))
    assert jaccard(long[::10], long) == pytest.approx(0.1, abs=0.02)


def test_what_is_compared_of_a_text_does_not_grow_with_it():
    text = " ".join(map(str, range(5 * MOST_HASHES)))
    request = chat_pb2.ChatRequest(messages=[message("user", text)])
    made = sketch((request.SerializeToString(), b""))
    hashes = shingles([text])
    assert len(hashes) > 4 * MOST_HASHES
    assert made.hashes == hashes[:MOST_HASHES].tobytes()
