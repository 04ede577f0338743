import json
from collections.abc import Sequence
from typing import Any

from llmproxy_grpc.messages import ToolCallPart
from tests.fakes.faulty_upstream import Request
from tests.providers.http_kind import HttpKind, Usage, sse


def _event(kind: str, **fields: Any) -> bytes:
    return sse({"type": kind, **fields})


def _message(**fields: Any) -> dict[str, Any]:
    return {"delta": {"message": fields}}


def _answer(text: str) -> bytes:
    message = {"role": "assistant", "content": [{"type": "text", "text": text}]}
    usage = {"billed_units": {"input_tokens": 1}, "tokens": {"input_tokens": 5.0, "output_tokens": 7.0}}
    return json.dumps({"id": "c1", "finish_reason": "COMPLETE", "message": message, "usage": usage}).encode()


def _stream(texts: Sequence[str], usage: Usage | None) -> list[bytes]:
    frames = [_event("message-start", id="c1", **_message(role="assistant", content=[], tool_calls=[]))]
    frames.append(_event("content-start", index=0, **_message(content={"type": "text", "text": ""})))
    frames += [_event("content-delta", index=0, **_message(content={"text": text})) for text in texts]
    frames.append(_event("content-end", index=0))
    if usage is None:
        return [*frames, _event("message-end", delta={"finish_reason": "COMPLETE"})]
    counts = f'{{"tokens":{{"input_tokens":{usage[0]},"output_tokens":{usage[1]}}}}}'
    return [*frames, sse(f'{{"type":"message-end","delta":{{"finish_reason":"COMPLETE","usage":{counts}}}}}')]


def _call(call: ToolCallPart, arguments: str) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def _calls_stream(calls: Sequence[ToolCallPart]) -> list[bytes]:
    frames = [_event("message-start", id="c1", **_message(role="assistant"))]
    for index, call in enumerate(calls):
        frames.append(_event("tool-call-start", index=index, **_message(tool_calls=_call(call, ""))))
        half = len(call.arguments_json) // 2
        frames += [
            _event("tool-call-delta", index=index, **_message(tool_calls={"function": {"arguments": piece}}))
            for piece in (call.arguments_json[:half], call.arguments_json[half:])
        ]
        frames.append(_event("tool-call-end", index=index))
    return [*frames, _event("message-end", delta={"finish_reason": "TOOL_CALL"})]


def _calls_answer(calls: Sequence[ToolCallPart]) -> bytes:
    message = {"role": "assistant", "tool_calls": [_call(call, call.arguments_json) for call in calls]}
    return json.dumps({"finish_reason": "TOOL_CALL", "message": message}).encode()


def vectors(request: Request) -> bytes:
    """The vectors of a request's texts."""
    made = [[len(text), 0.5] for text in request.json()["texts"]]
    return json.dumps({"embeddings": {"float": made}, "meta": {"billed_units": {"input_tokens": 3}}}).encode()


KIND = HttpKind(
    name="cohere",
    kind="cohere",
    embed_model="embed-v4.0",
    asked=lambda request: request.json()["messages"][-1]["content"],
    answer=_answer,
    stream=_stream,
    calls_answer=_calls_answer,
    calls_stream=_calls_stream,
    error_frame=_event("message-end", delta={"finish_reason": "ERROR", "error": "overloaded"}),
    error_body=None,
    posts={"/v2/embed": vectors},
    models={"/v1/models": b'{"models":[{"name":"test-model","endpoints":["chat"],"context_length":1000}]}'},
)
