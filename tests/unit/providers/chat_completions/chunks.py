"""A vendor's chunks of a stream, and what they add up to."""

import json
from datetime import UTC, datetime
from itertools import count
from typing import Any

from llmproxy_grpc.messages import ProviderResponse, StreamEvent
from llmproxy_grpc.providers.chat_completions.expectation import Expectation
from llmproxy_grpc.providers.chat_completions.stream import ChunkDecoder
from llmproxy_grpc.providers.failures import failure
from llmproxy_grpc.providers.sse import ServerSentEvent
from tests.providers.conversations import assembled

DONE = ServerSentEvent("", b"[DONE]")
COUNTS = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}


def decoder(**expectation: Any) -> ChunkDecoder:
    numbers = count()
    return ChunkDecoder(
        Expectation(**{"model": "test-model", **expectation}),
        new_id=lambda: f"call_new{next(numbers)}",
        failed=lambda document: failure(200, {}, document, now=datetime(2026, 1, 1, tzinfo=UTC)),
    )


def event(chunk: Any, name: str = "") -> ServerSentEvent:
    return ServerSentEvent(name, json.dumps(chunk).encode())


def delta(finish: str | None = None, index: int = 0, logprobs: Any = None, **fields: Any) -> ServerSentEvent:
    choice = {"index": index, "delta": fields, "logprobs": logprobs, "finish_reason": finish}
    return event({"id": "chatcmpl-1", "model": "test-model", "choices": [choice]})


def fragment(arguments: Any = None, choice: int = 0, **fields: Any) -> ServerSentEvent:
    function = {"name": fields.pop("name", None), "arguments": arguments}
    return delta(index=choice, tool_calls=[{"function": function, **fields}])


def run(*events: ServerSentEvent, each_alone: bool = False, **expectation: Any) -> list[StreamEvent]:
    decoding = decoder(**expectation)
    given_events: list[StreamEvent] = []
    for batch in [[each] for each in events] if each_alone else [events]:
        decoding.feed(batch)
        given_events += decoding.take()
    decoding.end()
    return given_events + decoding.take()


def answer(*events: ServerSentEvent, **options: Any) -> ProviderResponse:
    """The answer that the events add up to, the same whether they came together or one by one."""
    together = assembled(run(*events, **options))
    assert assembled(run(*events, each_alone=True, **options)) == together
    return together


def parts(*events: ServerSentEvent, **options: Any) -> tuple[Any, ...]:
    return answer(*events, delta("stop"), **options).candidates[0].message.parts
