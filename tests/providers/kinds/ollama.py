import json
from collections.abc import Sequence
from typing import Any

from llmproxy_grpc.messages import ToolCallPart
from tests.fakes.faulty_upstream import Request
from tests.providers.http_kind import HttpKind, Usage


def _line(**fields: Any) -> bytes:
    return json.dumps({"model": "test-model", **fields}).encode() + b"\n"


def _message(**fields: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": "", **fields}


def _answer(text: str) -> bytes:
    counts = {"prompt_eval_count": 5, "eval_count": 7}
    return _line(message=_message(content=text), done=True, done_reason="stop", **counts)


def _stream(texts: Sequence[str], usage: Usage | None) -> list[bytes]:
    frames = [_line(message=_message(content=text), done=False) for text in texts]
    last = _line(message=_message(), done=True, done_reason="stop").rstrip()
    if usage is not None:
        last = last[:-1] + f',"prompt_eval_count":{usage[0]},"eval_count":{usage[1]}}}'.encode()
    return [*frames, last + b"\n"]


def _calls(calls: Sequence[ToolCallPart], *, done: bool) -> bytes:
    # What the model wrote is the object itself, so its bytes have to stand in the body as they are.
    called = ",".join(f'{{"function":{{"name":"{call.name}","arguments":{call.arguments_json}}}}}' for call in calls)
    ended = '"done":true,"done_reason":"stop"' if done else '"done":false'
    return f'{{"message":{{"content":"","tool_calls":[{called}]}},{ended}}}\n'.encode()


def _vectors(request: Request) -> bytes:
    return json.dumps({"embeddings": [[len(text), 0.5] for text in request.json()["input"]]}).encode()


KIND = HttpKind(
    name="ollama",
    kind="ollama",
    stream_type="application/x-ndjson",
    stream_suffix=".ndjson",
    asked=lambda request: request.json()["messages"][-1]["content"],
    answer=_answer,
    stream=_stream,
    calls_answer=lambda calls: _calls(calls, done=True),
    calls_stream=lambda calls: [*(_calls([call], done=False) for call in calls), _calls([], done=True)],
    error_frame=b'{"error":"model is overloaded, try again"}\n',
    posts={"/api/embed": _vectors, "/api/show": lambda _: b'{"capabilities":["completion","tools"]}'},
    models={
        "/api/tags": b'{"models":[{"name":"test-model","model":"test-model","digest":"d"}]}',
        "/api/version": b"{}",
    },
)
