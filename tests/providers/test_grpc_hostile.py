"""The kind `grpc` before an upstream that means harm, or is no llmproxy at all."""

import grpc
import pytest

from llmproxy_grpc import errors
from llmproxy_grpc._gen.v1 import chat_pb2
from llmproxy_grpc.providers.upstream import MAX_ANSWER_BYTES
from tests.providers.conversations import ask, collected
from tests.providers.grpc_scripts import END, FINISH, HELLO, START, event, refused, upstream_and_provider

Code = grpc.StatusCode


def says(text):
    """An answer of one text."""
    candidate = {"message": {"role": "ROLE_ASSISTANT", "parts": [{"text": text}]}}
    return chat_pb2.ChatResponse(candidates=[candidate])


async def test_an_answer_is_as_long_as_one_over_http_at_most():
    script = [says("x" * (MAX_ANSWER_BYTES + 1))]
    assert type(await refused(script[0])) is errors.UpstreamProtocolError


async def test_a_message_of_a_stream_is_as_long_at_most():
    script = [START, HELLO, event(delta={"text": "x" * MAX_ANSWER_BYTES}), FINISH, END]
    async with upstream_and_provider(script) as (_, provider):
        with pytest.raises(errors.UpstreamProtocolError):
            await collected(provider.stream(ask(), "m"))


async def test_an_answer_of_many_megabytes_is_none_the_less_an_answer():
    text = "x" * (16 * 1024 * 1024)  # four times what gRPC takes by default
    async with upstream_and_provider([says(text)]) as (_, provider):
        answer = await provider.chat(ask(), "m")
    assert answer.candidates[0].message.parts[0].text == text
