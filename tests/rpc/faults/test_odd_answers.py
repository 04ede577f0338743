"""Upstreams whose answers are odd, and answers all the same."""

import gzip

import pytest

from llmproxy_grpc._gen.v1 import generation_pb2
from tests.fakes.faulty_upstream import Answer, openai_answer, openai_stream
from tests.rpc.faults.exchange import called, chunk, proxying, said, saying, well


async def test_a_whole_answer_to_a_stream_becomes_one(serve, upstream):
    async with proxying(serve, upstream) as server:
        upstream.script(Answer.json(openai_answer("Hello there")))
        answer = await said(called(server, "Stream"))
        assert (answer.text, answer.usage.total_tokens) == ("Hello there", 12)


async def test_the_content_type_alone_spoils_nothing(serve, upstream, method):
    async with proxying(serve, upstream) as server:
        for media_type in ("text/plain", "application/octet-stream", "TEXT/EVENT-STREAM; charset=utf-8", ""):
            good = well("Hello", method)
            upstream.script(Answer(headers={"content-type": media_type}, body=good.body, framing=good.framing))
            assert (await said(called(server, method))).text == "Hello", media_type


async def test_a_line_of_600_kibibytes_is_no_trouble(serve, upstream, method):
    async with proxying(serve, upstream) as server:
        text = "x" * 600 * 1024
        upstream.script(well(text, method))
        assert (await said(called(server, method))).text == text


async def test_half_characters_are_joined_or_replaced(serve, upstream, method):
    async with proxying(serve, upstream) as server:
        upstream.script(
            saying(chunk(r'{"content":"a\ud83d\ude00b"}', method), method),
            saying(chunk(r'{"content":"a\ud83d"}', method), method),
        )
        assert (await said(called(server, method))).text == "a\N{GRINNING FACE}b"
        assert (await said(called(server, method))).text == "a\ufffd"


async def test_half_characters_of_two_events_are_joined(serve, upstream):
    async with proxying(serve, upstream) as server:
        role, half, other, *rest = openai_stream(["a\ud83d", "\ude00b"])
        upstream.script(Answer.stream([role, half, 0.02, other, *rest]))
        assert (await said(called(server, "Stream"))).text == "a\N{GRINNING FACE}b"


MOST = 2**31 - 1
LIES: dict[str, tuple[str, tuple[int, int]]] = {
    "huge": ('{"prompt_tokens":99999999999999999999,"completion_tokens":1e30}', (MOST, MOST)),
    "200 digits": (f'{{"prompt_tokens":5,"completion_tokens":{"9" * 200}}}', (5, MOST)),
    "fractions": ('{"prompt_tokens":5.9,"completion_tokens":7.0}', (5, 7)),
    "details of the wrong type": ('{"prompt_tokens":5,"completion_tokens":7,"prompt_tokens_details":[1]}', (5, 7)),
    "more cached than read": (
        '{"prompt_tokens":5,"completion_tokens":7,"prompt_tokens_details":{"cached_tokens":500}}',
        (5, 7),
    ),
}


async def test_usage_that_lies_is_clipped_to_what_can_be(serve, upstream, method):
    async with proxying(serve, upstream) as server:
        for name, (usage, expected) in LIES.items():
            upstream.script(saying(chunk('{"content":"Hello"}', method, usage=usage), method))
            answer = await said(called(server, method))
            assert (answer.usage.input_tokens, answer.usage.output_tokens) == expected, name
            assert answer.usage.total_tokens == min(sum(expected), MOST), name
            assert answer.usage.cached_input_tokens <= answer.usage.input_tokens, name
            assert answer.usage.source == generation_pb2.USAGE_SOURCE_PROVIDER, name


NO_COUNTS = (
    "null",
    "{}",
    "[]",
    '"many"',
    "7",
    '{"prompt_tokens_details":null}',
    '{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}',
    '{"prompt_tokens":-5,"completion_tokens":-7,"total_tokens":-12}',
)


async def test_usage_that_is_absent_or_none_is_estimated(serve, upstream, method):
    """A prompt of no token is none: whoever reports zeros does not count."""
    async with proxying(serve, upstream) as server:
        for usage in NO_COUNTS:
            upstream.script(saying(chunk(f'{{"content":"{"x" * 40}"}}', method, usage=usage), method))
            answer = await said(called(server, method))
            assert answer.usage.source == generation_pb2.USAGE_SOURCE_ESTIMATE, usage
            assert answer.usage.output_tokens == 10


async def test_an_answer_compressed_unasked_is_read(serve, upstream, method):
    async with proxying(serve, upstream) as server:
        good = well("Hello", method)
        body = gzip.compress(b"".join(step for step in good.body if isinstance(step, bytes)))
        upstream.script(Answer(headers={**good.headers, "content-encoding": "gzip"}, body=[body]))
        assert (await said(called(server, method))).text == "Hello"
        assert upstream.requests[0].headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("chop", [1, 7])
async def test_an_answer_in_tiny_pieces_is_the_same(serve, upstream, method, chop):
    async with proxying(serve, upstream) as server:
        good = well("Grüße, Jürgen", method)
        upstream.script(Answer(headers=good.headers, body=good.body, framing=good.framing, chop=chop))
        assert (await said(called(server, method))).text == "Grüße, Jürgen"
