"""Writes answers and pieces of them, those that hold much beside the event loop."""

from llmproxy_grpc._gen.v1 import chat_pb2
from llmproxy_grpc.aside import MANY, aside
from llmproxy_grpc.calls import Call
from llmproxy_grpc.messages import Delta, ProviderResponse
from llmproxy_grpc.server.status import describe
from llmproxy_grpc.wire import delta_event, from_response


async def write_answer(answer: ProviderResponse, call: Call) -> chat_pb2.ChatResponse:
    """Gives the answer to a call as protobuf."""
    if _is_long(answer):
        return await aside(from_response, answer, call, describe=describe)
    return from_response(answer, call, describe=describe)


async def write_delta(sequence: int, delta: Delta) -> chat_pb2.StreamResponse:
    """Gives a piece of a stream as protobuf, beside the event loop if it has many sources or log probabilities."""
    if len(delta.citations) + len(delta.logprobs) + sum([len(each.top) for each in delta.logprobs]) > MANY:
        return await aside(delta_event, sequence, delta)
    return delta_event(sequence, delta)


def _is_long(answer: ProviderResponse) -> bool:
    """Whether it has many pieces: log probabilities and their alternatives are the most of all."""
    logprobs = [each for candidate in answer.candidates for each in candidate.logprobs]
    parts = [part for candidate in answer.candidates for part in candidate.message.parts]
    if len(logprobs) + len(parts) > MANY:
        return True
    return sum([len(each.top) for each in logprobs]) + sum([len(part.citations) for part in parts]) > MANY
