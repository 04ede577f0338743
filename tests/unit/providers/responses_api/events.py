"""A vendor's events of a stream, and what they add up to."""

import json
from datetime import UTC, datetime
from itertools import count
from typing import Any

from llmproxy_grpc.messages import GenerationConfig, ProviderResponse, ReasoningConfig
from llmproxy_grpc.providers.failures import failure
from llmproxy_grpc.providers.http_chat import Reply
from llmproxy_grpc.providers.responses_api.stream import EventDecoder, read_answer
from llmproxy_grpc.providers.sse import ServerSentEvent
from tests.providers.conversations import ask, assembled

COMPLETED = {"id": "resp_1", "status": "completed", "usage": {"input_tokens": 3, "output_tokens": 4}}
CALL = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "f", "arguments": ""}


def reply(*, include: bool | None = None) -> Reply:
    numbers = count()
    return Reply(
        ask(generation=GenerationConfig(reasoning=ReasoningConfig(include=include))),
        "test-model",
        "",
        lambda document: failure(200, {}, document, now=datetime(2026, 1, 1, tzinfo=UTC)),
        lambda: f"call_new{next(numbers)}",
    )


def event(kind: str, **fields: Any) -> ServerSentEvent:
    return ServerSentEvent(kind, json.dumps({"type": kind, **fields}).encode())


def added(item: Any, **fields: Any) -> ServerSentEvent:
    return event("response.output_item.added", item=item, **fields)


def done(item: Any, **fields: Any) -> ServerSentEvent:
    return event("response.output_item.done", item=item, **fields)


def text(delta: Any, **fields: Any) -> ServerSentEvent:
    return event("response.output_text.delta", delta=delta, **fields)


def arguments(delta: str, **fields: Any) -> ServerSentEvent:
    return event("response.function_call_arguments.delta", delta=delta, **fields)


def message(*texts: str, **fields: Any) -> dict[str, Any]:
    return {"type": "message", "content": [{"type": "output_text", "text": each} for each in texts], **fields}


def ended(kind: str = "completed", **fields: Any) -> ServerSentEvent:
    return event(f"response.{kind}", response={**COMPLETED, "status": kind, **fields})


def answer(*events: ServerSentEvent, include: bool | None = None, limit: int | None = None) -> ProviderResponse:
    decoder = EventDecoder(reply(include=include), limit=limit)
    decoder.feed(events)
    taken = decoder.take()
    assert decoder.done
    decoder.end()
    return assembled([*taken, *decoder.take()])


def parts(*events: ServerSentEvent, **options: Any) -> tuple[Any, ...]:
    return answer(*events, ended(), **options).candidates[0].message.parts


def whole(*items: Any, include: bool | None = None, **fields: Any) -> tuple[Any, ...]:
    body = json.dumps({**COMPLETED, "output": items, **fields}).encode()
    return read_answer(body, reply(include=include)).candidates[0].message.parts
