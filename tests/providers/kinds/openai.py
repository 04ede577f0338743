import json
from array import array
from base64 import b64encode
from collections.abc import Sequence
from typing import Any

from llmproxy_grpc.messages import ToolCallPart
from tests.fakes.faulty_upstream import Request, openai_answer
from tests.providers.http_kind import HttpKind, Usage, sse


def _chunk(*choices: Any, **fields: Any) -> bytes:
    return sse({"id": "chatcmpl-1", "object": "chat.completion.chunk", "choices": choices, **fields})


def _delta(finish: str | None = None, **delta: Any) -> bytes:
    return _chunk({"index": 0, "delta": delta, "finish_reason": finish})


def _stream(texts: Sequence[str], usage: Usage | None) -> list[bytes]:
    frames = [_delta(role="assistant", content=""), *(_delta(content=text) for text in texts), _delta("stop")]
    if usage is not None:
        counts = f'{{"prompt_tokens":{usage[0]},"completion_tokens":{usage[1]}}}'
        frames.append(sse(f'{{"choices":[],"usage":{counts}}}'))
    return [*frames, sse("[DONE]")]


def _calls_stream(calls: Sequence[ToolCallPart]) -> list[bytes]:
    frames = [_delta(role="assistant", content=None)]
    for index, call in enumerate(calls):
        half = len(call.arguments_json) // 2
        first = {"index": index, "id": call.id, "type": "function", "function": {"name": call.name, "arguments": ""}}
        frames.append(_delta(tool_calls=[first]))
        frames += [
            _delta(tool_calls=[{"index": index, "function": {"arguments": piece}}])
            for piece in (call.arguments_json[:half], call.arguments_json[half:])
        ]
    return [*frames, _delta("tool_calls"), sse("[DONE]")]


def _calls_answer(calls: Sequence[ToolCallPart]) -> bytes:
    called = [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments_json}}
        for call in calls
    ]
    message = {"role": "assistant", "content": None, "tool_calls": called}
    return json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]}).encode()


def _vector(text: str) -> str:
    numbers = array("f", [len(text), text.count(" "), 0.25])
    return b64encode(numbers.tobytes()).decode()


def _embedded(request: Request) -> bytes:
    texts = request.json()["input"]
    data = [{"object": "embedding", "index": index, "embedding": _vector(text)} for index, text in enumerate(texts)]
    tokens = sum(len(text) for text in texts)
    return json.dumps({"data": data, "usage": {"prompt_tokens": tokens, "total_tokens": tokens}}).encode()


KIND = HttpKind(
    name="openai",
    kind="openai",
    base_path="/v1",
    asked=lambda request: request.json()["messages"][-1]["content"],
    answer=openai_answer,
    stream=_stream,
    calls_answer=_calls_answer,
    calls_stream=_calls_stream,
    error_frame=sse({"error": {"message": "busy", "type": "overloaded_error"}}),
    error_body=b'{"error":{"code":429,"message":"slow down"}}',
    posts={"/embeddings": _embedded},
    models={"/models": b'{"object":"list","data":[{"id":"test-model","object":"model"}]}'},
)
