"""Frames of the spool as a server would write them."""

import hashlib
import os
import time
from typing import Any
from uuid import UUID

from llmproxy_grpc._gen.v1 import chat_pb2, content_pb2
from llmproxy_grpc.records.spool.entries import Began, Ended
from llmproxy_grpc.server.rpc import record_id


def new_id() -> str:
    return record_id(time.time_ns() // 1_000_000, os.urandom(10))


def id_bytes(text: str) -> bytes:
    return UUID(text).bytes


def hash_of(request: bytes, response: bytes) -> str:
    """What tells that content came through as it was."""
    return hashlib.sha256(request + response).hexdigest()


def a_begin(call_id: str) -> Began:
    return Began(call_id, "default", "", "Chat", 1_000)


def an_end(call_id: str | None = None, text: str = "Hi", reply: str = "Hello", **different: Any) -> Ended:
    """A Chat that went well, with its content."""
    call_id = call_id or new_id()
    user = content_pb2.Message(role=content_pb2.ROLE_USER, parts=[content_pb2.ContentPart(text=text)])
    said = content_pb2.Message(role=content_pb2.ROLE_ASSISTANT, parts=[content_pb2.ContentPart(text=reply)])
    fields = {name: different.pop(name) for name in ("end_user_id", "conversation_id", "labels") if name in different}
    request = chat_pb2.ChatRequest(model="assistant", messages=[user], **fields)
    response = chat_pb2.ChatResponse(
        id=call_id, model="assistant", candidates=[chat_pb2.Candidate(message=said, finish_reason=1)]
    )
    values: dict[str, Any] = {
        "id": call_id,
        "tenant": "default",
        "caller_key_id": "",
        "method": "Chat",
        "started_at": 1_000,
        "latency_us": 10,
        "ttft_us": None,
        "model": "assistant",
        "provider": "echo",
        "upstream_model": "echo",
        "attempts": 1,
        "fell_back": False,
        "grpc_code": 0,
        "error_reason": "",
        "error": b"",
        "usage": None,
        "complete": True,
        "data_policy": 3,
        "request": request.SerializeToString(),
        "response": response.SerializeToString(),
        "events": (),
    }
    return Ended(**{**values, **different})
