import json
from collections.abc import Sequence
from typing import Any

from llmproxy_grpc.messages import ToolCallPart
from tests.fakes.faulty_upstream import Request
from tests.providers.http_kind import HttpKind, Usage, sse

HEAD = {"id": "msg_1", "type": "message", "role": "assistant", "model": "test-model", "content": []}


def _asked(request: Request) -> str:
    messages = request.json()["messages"]
    return messages[-1]["content"][-1]["text"] if messages else ""


def _event(name: str, **fields: Any) -> bytes:
    return sse({"type": name, **fields}, name)


def _usage_event(name: str, usage: str, **fields: Any) -> bytes:
    body = json.dumps({"type": name, **fields})
    return sse(f'{body[:-1]},"usage":{usage}}}', name)


def _answer(text: str) -> bytes:
    content = [{"type": "text", "text": text}]
    usage = {"input_tokens": 5, "output_tokens": 7}
    return json.dumps({**HEAD, "content": content, "stop_reason": "end_turn", "usage": usage}).encode()


def _stream(texts: Sequence[str], usage: Usage | None) -> list[bytes]:
    frames = [_event("message_start", message=HEAD)]
    frames.append(_event("content_block_start", index=0, content_block={"type": "text", "text": ""}))
    frames += [_event("content_block_delta", index=0, delta={"type": "text_delta", "text": text}) for text in texts]
    frames.append(_event("content_block_stop", index=0))
    ended = {"stop_reason": "end_turn", "stop_sequence": None}
    if usage is None:
        frames.append(_event("message_delta", delta=ended))
    else:
        counts = f'{{"input_tokens":{usage[0]},"output_tokens":{usage[1]}}}'
        frames.append(_usage_event("message_delta", counts, delta=ended))
    return [*frames, _event("message_stop")]


def _calls_stream(calls: Sequence[ToolCallPart]) -> list[bytes]:
    frames = [_event("message_start", message=HEAD), _event("ping")]
    for index, call in enumerate(calls):
        block = {"type": "tool_use", "id": call.id, "name": call.name, "input": {}}
        frames.append(_event("content_block_start", index=index, content_block=block))
        half = len(call.arguments_json) // 2
        frames += [
            _event("content_block_delta", index=index, delta={"type": "input_json_delta", "partial_json": piece})
            for piece in ("", call.arguments_json[:half], call.arguments_json[half:])
        ]
        frames.append(_event("content_block_stop", index=index))
    return [*frames, _event("message_delta", delta={"stop_reason": "tool_use"}), _event("message_stop")]


def _calls_answer(calls: Sequence[ToolCallPart]) -> bytes:
    # What the model wrote is the object itself, so its bytes have to stand in the body as they are.
    blocks = ",".join(
        f'{{"type":"tool_use","id":"{call.id}","name":"{call.name}","input":{call.arguments_json}}}' for call in calls
    )
    return f'{{"type":"message","content":[{blocks}],"stop_reason":"tool_use"}}'.encode()


KIND = HttpKind(
    name="anthropic",
    kind="anthropic",
    asked=_asked,
    answer=_answer,
    stream=_stream,
    calls_answer=_calls_answer,
    calls_stream=_calls_stream,
    error_frame=_event("error", error={"type": "overloaded_error", "message": "Overloaded"}),
    error_body=b'{"type":"error","error":{"type":"rate_limit_error","message":"slow down"}}',
    posts={"/count_tokens": lambda request: b'{"input_tokens":%d}' % len(request.body)},
    models={"/v1/models": b'{"data":[{"type":"model","id":"test-model","display_name":"Test"}],"has_more":false}'},
)
