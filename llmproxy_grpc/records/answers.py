"""The answer of a stream, put together from the events that its caller was sent."""

from collections.abc import Iterable

from llmproxy_grpc._gen.v1 import chat_pb2 as pb
from llmproxy_grpc.messages.collected import Collected
from llmproxy_grpc.wire import to_delta, to_finish
from llmproxy_grpc.wire.response import fill_candidate


def answer_of(events: Iterable[bytes]) -> pb.ChatResponse | None:
    """The answer as far as it came; None if the stream had not begun.

    Raises:
        DecodeError: An event cannot be read.
    """
    answer: pb.ChatResponse | None = None
    collected = Collected()
    for data in events:
        event = pb.StreamResponse.FromString(data)
        kind = event.WhichOneof("event")
        if kind == "delta":
            delta = to_delta(event.delta)
            if delta is not None:
                collected.take((delta,))
        elif kind == "finish":
            collected.take((to_finish(event.finish),))
        elif kind == "start":
            start = event.start
            answer = pb.ChatResponse(id=start.id, model=start.model, route=start.route, warnings=start.warnings)
            answer.create_time.CopyFrom(start.create_time)
        elif kind == "warning" and answer is not None:
            answer.warnings.append(event.warning)
        elif kind == "end" and answer is not None:
            _fill_end(answer, event.end)
    if answer is not None:
        for candidate in collected.response("").candidates:
            fill_candidate(answer.candidates.add(), candidate)
    return answer


def _fill_end(answer: pb.ChatResponse, end: pb.StreamEnd) -> None:
    if end.HasField("usage"):
        answer.usage.CopyFrom(end.usage)
    answer.route.CopyFrom(end.route)
    del answer.warnings[:]
    answer.warnings.extend(end.warnings)
    for kind, words in end.provider_metadata.items():
        answer.provider_metadata[kind].CopyFrom(words)
