import json
from collections.abc import Sequence
from typing import Any

from llmproxy_grpc.messages import ToolCallPart
from tests.fakes.eventstream import frame
from tests.fakes.faulty_upstream import Request
from tests.providers.http_kind import HttpKind, Usage


def _asked(request: Request) -> str:
    messages = request.json()["messages"]
    return messages[-1]["content"][-1]["text"] if messages else ""


def _event(name: str, **payload: Any) -> bytes:
    return frame(name, json.dumps({**payload, "p": "abc"}).encode())


def _answer(text: str) -> bytes:
    message = {"role": "assistant", "content": [{"text": text}]}
    usage = {"inputTokens": 5, "outputTokens": 7, "totalTokens": 12}
    return json.dumps({"output": {"message": message}, "stopReason": "end_turn", "usage": usage}).encode()


def _stream(texts: Sequence[str], usage: Usage | None) -> list[bytes]:
    frames = [_event("messageStart", role="assistant")]
    frames += [_event("contentBlockDelta", contentBlockIndex=0, delta={"text": text}) for text in texts]
    frames += [_event("contentBlockStop", contentBlockIndex=0), _event("messageStop", stopReason="end_turn")]
    counts = "{}" if usage is None else f'{{"inputTokens":{usage[0]},"outputTokens":{usage[1]}}}'
    return [*frames, frame("metadata", f'{{"usage":{counts},"metrics":{{"latencyMs":1}}}}'.encode())]


def _calls_stream(calls: Sequence[ToolCallPart]) -> list[bytes]:
    frames = [_event("messageStart", role="assistant")]
    for index, call in enumerate(calls):
        use = {"toolUseId": call.id, "name": call.name}
        frames.append(_event("contentBlockStart", contentBlockIndex=index, start={"toolUse": use}))
        half = len(call.arguments_json) // 2
        frames += [
            _event("contentBlockDelta", contentBlockIndex=index, delta={"toolUse": {"input": piece}})
            for piece in (call.arguments_json[:half], call.arguments_json[half:])
        ]
        frames.append(_event("contentBlockStop", contentBlockIndex=index))
    return [*frames, _event("messageStop", stopReason="tool_use"), _event("metadata", usage={})]


def _calls_answer(calls: Sequence[ToolCallPart]) -> bytes:
    # What the model wrote is the object itself, so its bytes have to stand in the body as they are.
    blocks = ",".join(
        f'{{"toolUse":{{"toolUseId":"{call.id}","name":"{call.name}","input":{call.arguments_json}}}}}'
        for call in calls
    )
    return f'{{"output":{{"message":{{"content":[{blocks}]}}}},"stopReason":"tool_use"}}'.encode()


def _vectors(request: Request) -> bytes:
    return json.dumps({"embeddings": [[len(text), 0.5] for text in request.json()["texts"]]}).encode()


KIND = HttpKind(
    name="bedrock",
    kind="bedrock",
    model="anthropic.claude-sonnet-4-5-20250929-v1:0",
    embed_model="cohere.embed-english-v3",
    config={"api_key": "test-key", "region": "eu-central-1"},
    stream_type="application/vnd.amazon.eventstream",
    stream_suffix=".bin",
    asked=_asked,
    streamed=lambda request: request.path.endswith("/converse-stream"),
    answer=_answer,
    stream=_stream,
    calls_answer=_calls_answer,
    calls_stream=_calls_stream,
    error_frame=frame("serviceUnavailableException", b'{"message":"Overloaded"}', message_type="exception"),
    error_body=None,
    posts={"/count-tokens": lambda request: b'{"inputTokens":%d}' % len(request.body), "/invoke": _vectors},
    models={
        "/foundation-models": b"""{"modelSummaries":[{"modelId":"anthropic.claude-sonnet-4-5-20250929-v1:0",
            "outputModalities":["TEXT"],"inferenceTypesSupported":["ON_DEMAND"]}]}""",
        "/inference-profiles": b"""{"inferenceProfileSummaries":[
            {"inferenceProfileId":"eu.anthropic.claude-sonnet-4-5-20250929-v1:0"}]}""",
    },
)
