"""Conditions of targets: whether a call is one that a target is there for."""

from typing import Any

from llmproxy_grpc.config.schema import Condition
from llmproxy_grpc.routing.asked import Asked


def meets(asked: Asked[Any, Any], condition: Condition) -> bool:
    """Whether a call meets all that a condition sets; the cheap questions first, the prompt is measured last."""
    labels = asked.request.labels
    if any(labels.get(name) != value for name, value in condition.labels.items()):
        return False
    if condition.capabilities and not asked.needs.issuperset(condition.capabilities):
        return False
    least, most = condition.min_prompt_tokens, condition.max_prompt_tokens
    if least is not None and asked.prompt_tokens < least:
        return False
    return most is None or asked.prompt_tokens <= most
