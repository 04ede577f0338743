"""The rules of what every kind of request says of its call: whose it is, and where it may go."""

import re
from collections.abc import Mapping

from google.protobuf.struct_pb2 import Struct

from llmproxy_grpc._gen.v1 import chat_pb2, embed_pb2
from llmproxy_grpc.server.validation import bounds
from llmproxy_grpc.server.validation.findings import Findings, entry
from llmproxy_grpc.server.validation.rules import (
    check_duration,
    check_required_word,
    check_struct,
    check_word,
)

_OPTIONS_KEY = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


def check_model(found: Findings, model: str) -> None:
    """Checks the name of a model."""
    check_required_word(found, "model", model, bounds.MAX_MODEL)


def check_call(found: Findings, request: chat_pb2.ChatRequest | embed_pb2.EmbedRequest) -> None:
    """Checks the end user, the labels, the routing and the providers' options of a request."""
    check_word(found, "end_user_id", request.end_user_id, bounds.MAX_ID)
    labels = request.labels
    if labels:
        _check_labels(found, labels)
    if request.HasField("routing"):
        _check_routing(found, request.routing)
    options = request.provider_options
    if options:
        _check_options(found, options)


def _check_labels(found: Findings, labels: Mapping[str, str]) -> None:
    if len(labels) > bounds.MAX_LABELS:
        found.add("labels", f"must be at most {bounds.MAX_LABELS}")
        return
    for key, value in labels.items():
        check_required_word(found, entry("labels", key), key, bounds.MAX_LABEL_KEY)
        if len(value) > bounds.MAX_LABEL_VALUE:
            found.add(entry("labels", key), f"must have a value of at most {bounds.MAX_LABEL_VALUE} characters")


def _check_routing(found: Findings, routing: chat_pb2.RoutingPolicy) -> None:
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
