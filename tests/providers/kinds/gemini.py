import json
from collections.abc import Sequence
from typing import Any

from llmproxy_grpc.messages import ToolCallPart
from tests.fakes.faulty_upstream import Request
from tests.providers.http_kind import HttpKind, Usage, sse


def _asked(request: Request) -> str:
    contents = request.json()["contents"]
    return contents[-1]["parts"][-1]["text"] if contents else ""


def _chunk(*parts: Any, finish: str | None = None) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": list(parts)}, "index": 0}
    return {"candidates": [candidate | ({"finishReason": finish} if finish else {})], "modelVersion": "test-model"}


def _answer(text: str) -> bytes:
    usage = {"promptTokenCount": 5, "candidatesTokenCount": 7, "totalTokenCount": 12}
    return json.dumps({**_chunk({"text": text}, finish="STOP"), "usageMetadata": usage}).encode()


def _stream(texts: Sequence[str], usage: Usage | None) -> list[bytes]:
    frames = [sse(_chunk({"text": text})) for text in texts]
    last = json.dumps(_chunk(finish="STOP"))
    if usage is not None:
        counts = f'{{"promptTokenCount":{usage[0]},"candidatesTokenCount":{usage[1]}}}'
        last = f'{last[:-1]},"usageMetadata":{counts}}}'
    return [*frames, sse(last)]


def _call(call: ToolCallPart) -> str:
    # What the model wrote is the object itself, so its bytes have to stand in the body as they are.
    return f'{{"functionCall":{{"name":"{call.name}","args":{call.arguments_json}}}}}'


def _calls(calls: Sequence[ToolCallPart]) -> str:
    parts = ",".join(map(_call, calls))
    return f'{{"candidates":[{{"content":{{"parts":[{parts}]}},"finishReason":"STOP"}}]}}'


def _calls_stream(calls: Sequence[ToolCallPart]) -> list[bytes]:
    first, *rest = calls
    frames = [sse(f'{{"candidates":[{{"content":{{"parts":[{_call(first)}]}}}}]}}')]
    return [*frames, sse(_calls(rest))]


def _vectors(request: Request) -> bytes:
    asked = request.json()["requests"]
    lengths = [len(each["content"]["parts"][0]["text"]) for each in asked]
    return json.dumps({"embeddings": [{"values": [length, 0.5]} for length in lengths]}).encode()


KIND = HttpKind(
    name="gemini",
    kind="gemini",
    embed_model="gemini-embedding-001",
    asked=_asked,
    streamed=lambda request: ":streamGenerateContent?alt=sse" in request.path,
    answer=_answer,
    stream=_stream,
    calls_answer=lambda calls: _calls(calls).encode(),
    calls_stream=_calls_stream,
    error_frame=sse({"error": {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}}),
    error_body=b'[{"error":{"code":429,"message":"slow down","status":"RESOURCE_EXHAUSTED"}}]',
    posts={
        ":countTokens": lambda request: b'{"totalTokens":%d}' % len(request.body),
        ":batchEmbedContents": _vectors,
    },
    models={"/v1beta/models": b'{"models":[{"name":"models/test-model","inputTokenLimit":1000}]}'},
)
