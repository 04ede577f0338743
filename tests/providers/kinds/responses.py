import json
from collections.abc import Sequence
from typing import Any

from llmproxy_grpc.messages import ToolCallPart
from tests.fakes.faulty_upstream import Request
from tests.providers.http_kind import HttpKind, Usage, sse


def _asked(request: Request) -> str:
    return request.json()["input"][-1]["content"]


def _event(name: str, **fields: Any) -> bytes:
    return sse({"type": name, **fields}, name)


def _message(text: str) -> dict[str, Any]:
    return {"type": "message", "id": "msg_1", "content": [{"type": "output_text", "text": text, "annotations": []}]}


def _answer(text: str) -> bytes:
    usage = {"input_tokens": 5, "output_tokens": 7, "total_tokens": 12}
    answer = {"id": "resp_1", "object": "response", "status": "completed", "output": [_message(text)], "usage": usage}
    return json.dumps(answer).encode()


def _stream(texts: Sequence[str], usage: Usage | None) -> list[bytes]:
    frames = [_event("response.created", response={"id": "resp_1", "status": "in_progress"})]
    frames.append(_event("response.output_item.added", output_index=0, item={"type": "message", "content": []}))
    frames += [_event("response.output_text.delta", output_index=0, delta=text) for text in texts]
    frames.append(_event("response.output_item.done", output_index=0, item=_message("".join(texts))))
    counts = "null" if usage is None else f'{{"input_tokens":{usage[0]},"output_tokens":{usage[1]}}}'
    completed = f'{{"id":"resp_1","status":"completed","output":[],"usage":{counts}}}'
    return [*frames, sse(f'{{"type":"response.completed","response":{completed}}}', "response.completed")]


def _item(call: ToolCallPart, arguments: str) -> dict[str, Any]:
    return {"type": "function_call", "id": "fc", "call_id": call.id, "name": call.name, "arguments": arguments}


def _calls_stream(calls: Sequence[ToolCallPart]) -> list[bytes]:
    frames = []
    for index, call in enumerate(calls):
        half = len(call.arguments_json) // 2
        frames.append(_event("response.output_item.added", output_index=index, item=_item(call, "")))
        frames += [
            _event("response.function_call_arguments.delta", output_index=index, delta=piece)
            for piece in (call.arguments_json[:half], call.arguments_json[half:])
        ]
        frames.append(_event("response.output_item.done", output_index=index, item=_item(call, call.arguments_json)))
    return [*frames, _event("response.completed", response={"status": "completed"})]


def _calls_answer(calls: Sequence[ToolCallPart]) -> bytes:
    output = [_item(call, call.arguments_json) for call in calls]
    return json.dumps({"status": "completed", "output": output}).encode()


def _vectors(request: Request) -> bytes:
    data = [{"index": index, "embedding": [len(text), 0.5]} for index, text in enumerate(request.json()["input"])]
    return json.dumps({"data": data, "usage": {"prompt_tokens": 3}}).encode()


KIND = HttpKind(
    name="responses",
    kind="openai",
    config={"api_key": "test-key", "api": "responses", "preset": "openai"},
    base_path="/v1",
    asked=_asked,
    answer=_answer,
    stream=_stream,
    calls_answer=_calls_answer,
    calls_stream=_calls_stream,
    error_frame=_event("error", code="server_is_overloaded", message="The server is overloaded."),
    error_body=b'{"status":"failed","error":{"code":"rate_limit_exceeded","message":"slow down"}}',
    posts={
        "/responses/input_tokens": lambda request: b'{"input_tokens":%d}' % len(request.body),
        "/embeddings": _vectors,
    },
    models={"/models": b'{"object":"list","data":[{"id":"test-model","object":"model"}]}'},
)
