"""What every test of this wire encodes with."""

import json
from typing import Any

from llmproxy_grpc.messages import (
    ChatRequest,
    GenerationConfig,
    Message,
)
from llmproxy_grpc.providers.generate_content.features import adapt_content
from llmproxy_grpc.providers.generate_content.request import encode_request
from tests.providers.conversations import ask

TWO, THREE, OTHER = "gemini-2.5-flash", "gemini-3-flash-preview", "a-tuned-model"
SCHEMA = '{"type": "object",  "properties": {"n": {"const": 9007199254740993}}}'


def raw(request: ChatRequest, model: str = TWO) -> bytes:
    return encode_request(adapt_content(request, model).request, model)


def body(request: ChatRequest, model: str = TWO) -> dict[str, Any]:
    return json.loads(raw(request, model))


def contents(*messages: Message, model: str = TWO) -> list[dict[str, Any]]:
    return body(ask(messages=messages), model)["contents"]


def generation(model: str = TWO, **settings: Any) -> dict[str, Any]:
    return body(ask(generation=GenerationConfig(**settings)), model).get("generationConfig", {})
