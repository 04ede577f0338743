"""Vectors and counts as llmproxyctl shows them."""

import grpc
import pytest
from google.protobuf import json_format

from llmproxy_client.v1.embed_pb2 import EMBED_PURPOSE_QUERY, EMBED_PURPOSE_UNSPECIFIED, EmbedResponse
from llmproxy_client.v1.generation_pb2 import USAGE_SOURCE_ESTIMATE, USAGE_SOURCE_PROVIDER
from llmproxy_client.v1.model_pb2 import CountTokensResponse


def rows(text):
    return [line.split() for line in text.splitlines()]


def test_embed_shows_the_beginning_of_each_vector(ctl, script, vectors):
    script.embedded = vectors([0.25, -0.5], [1, 2, 3, 4.00004, 5])

    assert ctl("embed", "one\ntwo", "x" * 50) == 0

    assert rows(ctl.out) == [
        ["INPUT", "DIMENSIONS", "VECTOR"],
        ["one", "two", "2", "0.2500", "-0.5000"],
        ["x" * 40 + "…", "5", "1.0000", "2.0000", "3.0000", "4.0000", "…"],
    ]
    asked = script.asked[0]
    assert asked.model == "default"
    assert [part.text for part in asked.inputs] == ["one\ntwo", "x" * 50]
    assert not asked.HasField("dimensions")
    assert asked.purpose == EMBED_PURPOSE_UNSPECIFIED


def test_embed_asks_as_it_is_told(ctl, script):
    ctl("embed", "-m", "openai/text-embedding-3-small", "--dimensions", "256", "--purpose", "query", "cats")

    asked = script.asked[0]
    assert (asked.model, asked.dimensions, asked.purpose) == ("openai/text-embedding-3-small", 256, EMBED_PURPOSE_QUERY)


def test_without_a_text_each_line_of_standard_input_is_one(ctl, script):
    ctl("embed", stdin="größe\n\nzwei Wörter\r\n".encode())

    assert [part.text for part in script.asked[0].inputs] == ["größe", "zwei Wörter"]


def test_json_of_vectors_has_them_whole(ctl, script):
    ctl("embed", "--json", "a")

    assert ctl.out.count("\n") == 1
    assert json_format.Parse(ctl.out, EmbedResponse()) == script.embedded


def test_what_was_dropped_is_told_beside_the_vectors(ctl, script):
    script.embedded.warnings.add(code="PARAMETER_DROPPED", field="purpose", message="no")

    assert ctl("embed", "a") == 0
    assert ctl.err == "llmproxyctl: PARAMETER_DROPPED purpose: no\n"


def test_a_prompt_is_counted_and_who_counted_is_said(ctl, script):
    assert ctl("count-tokens", "-m", "assistant", "Why?") == 0

    assert rows(ctl.out) == [["TOKENS", "SOURCE"], ["37", "PROVIDER"]]
    asked = script.asked[0].chat
    assert (asked.model, asked.messages[0].parts[0].text) == ("assistant", "Why?")

    script.counted = CountTokensResponse(input_tokens=5, source=USAGE_SOURCE_ESTIMATE)
    ctl("count-tokens", stdin=b"Why?\n")
    assert rows(ctl.out)[1] == ["5", "ESTIMATE"]


def test_what_was_dropped_is_told_beside_the_count(ctl, script):
    script.counted.warnings.add(code="PARAMETER_DROPPED", field="generation.seed", message="no")

    assert ctl("count-tokens", "Why?") == 0
    assert ctl.err == "llmproxyctl: PARAMETER_DROPPED generation.seed: no\n"


def test_json_of_a_count_is_the_answer(ctl):
    ctl("count-tokens", "--json", "Why?")

    expected = CountTokensResponse(input_tokens=37, source=USAGE_SOURCE_PROVIDER)
    assert json_format.Parse(ctl.out, CountTokensResponse()) == expected


@pytest.mark.parametrize("command", ["embed", "count-tokens"])
def test_a_call_that_fails_ends_with_1_and_says_why(ctl, script, refusal, command):
    script.error = refusal(grpc.StatusCode.NOT_FOUND, "There is no such model.")

    assert ctl(command, "a") == 1
    assert "NOT_FOUND: There is no such model." in ctl.err
    assert ctl.out == ""
