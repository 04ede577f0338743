"""The rules of a request as a whole."""

import re
from collections.abc import Mapping

from google.protobuf.struct_pb2 import Struct

from llmproxy_grpc._gen.v1 import chat_pb2 as pb
from llmproxy_grpc.errors import FieldViolation
from llmproxy_grpc.server.validation import bounds
from llmproxy_grpc.server.validation.conversation import check_messages
from llmproxy_grpc.server.validation.findings import Findings, entry
from llmproxy_grpc.server.validation.generation import check_generation
from llmproxy_grpc.server.validation.rules import (
    check_duration,
    check_required_word,
    check_struct,
    check_word,
)
from llmproxy_grpc.server.validation.tools import check_tool_choice, check_tools

_IDEMPOTENCY_KEY = re.compile(rf"[\x20-\x7e]{{1,{bounds.MAX_IDEMPOTENCY_KEY}}}")
_OPTIONS_KEY = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


def validate(request: pb.ChatRequest, *, prefix: str = "") -> list[FieldViolation]:
    """Names every field that breaks a rule of the API, empty if none does.

    Args:
        request: Any request, however odd.
        prefix: Stands before every path: `chat.` for the request of a StreamRequest.

    Returns:
        At most 50 violations, and one more that counts the rest.
    """
    found = Findings(prefix)
    check_required_word(found, "model", request.model, bounds.MAX_MODEL)
    check_messages(found, request.messages)
    tools = request.tools
    names = check_tools(found, tools) if tools else None
    if request.HasField("tool_choice"):
        check_tool_choice(found, request.tool_choice, names)
    if request.HasField("generation"):
        check_generation(found, request.generation)
    _check_identity(found, request)
    labels = request.labels
    if labels:
        _check_labels(found, labels)
    if request.HasField("routing"):
        _check_routing(found, request.routing)
    options = request.provider_options
    if options:
        _check_options(found, options)
    return found.violations()


def _check_identity(found: Findings, request: pb.ChatRequest) -> None:
    check_word(found, "end_user_id", request.end_user_id, bounds.MAX_ID)
    check_word(found, "conversation_id", request.conversation_id, bounds.MAX_ID)
    key = request.idempotency_key
    if key and not _IDEMPOTENCY_KEY.fullmatch(key):
        found.add("idempotency_key", f"must be 1 to {bounds.MAX_IDEMPOTENCY_KEY} printable ASCII characters")


def _check_labels(found: Findings, labels: Mapping[str, str]) -> None:
    if len(labels) > bounds.MAX_LABELS:
        found.add("labels", f"must be at most {bounds.MAX_LABELS}")
        return
    for key, value in labels.items():
        check_required_word(found, entry("labels", key), key, bounds.MAX_LABEL_KEY)
        if len(value) > bounds.MAX_LABEL_VALUE:
            found.add(entry("labels", key), f"must have a value of at most {bounds.MAX_LABEL_VALUE} characters")


def _check_routing(found: Findings, routing: pb.RoutingPolicy) -> None:
    if len(routing.providers) > bounds.MAX_PROVIDERS:
        found.add("routing.providers", f"must be at most {bounds.MAX_PROVIDERS}")
    else:
        for index, provider in enumerate(routing.providers):
            check_required_word(found, f"routing.providers[{index}]", provider, bounds.MAX_PROVIDER)
    if len(routing.fallback_models) > bounds.MAX_FALLBACK_MODELS:
        found.add("routing.fallback_models", f"must be at most {bounds.MAX_FALLBACK_MODELS}")
    else:
        for index, model in enumerate(routing.fallback_models):
            check_required_word(found, f"routing.fallback_models[{index}]", model, bounds.MAX_MODEL)
    if routing.HasField("max_attempts") and routing.max_attempts < 1:
        found.add("routing.max_attempts", "must be at least 1")
    if routing.HasField("first_token_timeout"):
        check_duration(found, "routing.first_token_timeout", routing.first_token_timeout, bounds.ATTEMPT_TIMEOUT)
    if routing.HasField("idle_timeout"):
        check_duration(found, "routing.idle_timeout", routing.idle_timeout, bounds.ATTEMPT_TIMEOUT)


def _check_options(found: Findings, options: Mapping[str, Struct]) -> None:
    if len(options) > bounds.MAX_PROVIDER_OPTIONS:
        found.add("provider_options", f"must be at most {bounds.MAX_PROVIDER_OPTIONS}")
        return
    for kind, struct in options.items():
        if not _OPTIONS_KEY.fullmatch(kind):
            found.add(entry("provider_options", kind), "must be keyed by a provider kind, such as openai")
        check_struct(found, entry("provider_options", kind), struct)
