"""What a request becomes on the wire, read back as JSON."""

import json
from typing import Any

from llmproxy_grpc.messages import GenerationConfig, Message, Role
from llmproxy_grpc.providers.adaptation import adapt
from llmproxy_grpc.providers.chat_completions.features import features_of
from llmproxy_grpc.providers.chat_completions.quirks import OPENAI, Quirks
from llmproxy_grpc.providers.chat_completions.request import RequestEncoder
from llmproxy_grpc.providers.openai_models import adapt_to_model
from tests.providers.conversations import ask


def raw(request: Any, quirks: Quirks = OPENAI, *, kinds: tuple[str, ...] = ("openai",), stream: bool = False) -> bytes:
    features = features_of(quirks, kinds)
    adapted = adapt_to_model(request, features, "gpt-test") if quirks.openai_models else adapt(request, features)
    return RequestEncoder(quirks, kinds).encode(adapted.request, "gpt-test", stream=stream)


def body(request: Any, quirks: Quirks = OPENAI, **options: Any) -> dict[str, Any]:
    return json.loads(raw(request, quirks, **options))


def messages(*said: Message, quirks: Quirks = OPENAI) -> list[dict[str, Any]]:
    return body(ask(messages=said), quirks)["messages"]


def user(*parts: Any) -> Message:
    return Message(Role.USER, parts)


def generation(quirks: Quirks = OPENAI, **settings: Any) -> dict[str, Any]:
    encoded = body(ask(generation=GenerationConfig(**settings)), quirks)
    del encoded["model"], encoded["messages"]
    return encoded
