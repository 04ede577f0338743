"""Thinking and plans of calls, and the continuity tokens that tell them apart when they come back."""

from typing import Final

from llmproxy_grpc.messages import ReasoningPart

_THINKING: Final = b"thinking"
_PLAN: Final = b"plan"
_HIDDEN: Final = b":"


def token(*, plan: bool, hidden: str = "") -> bytes:
    """The token of thinking, or of a plan; of what the caller does not see it holds the text."""
    mark = _PLAN if plan else _THINKING
    return mark + _HIDDEN + hidden.encode("utf-8", "replace") if hidden else mark


def is_plan(part: ReasoningPart) -> bool:
    """Whether a part was the plan of the calls behind it."""
    return part.continuity_token.startswith(_PLAN)


def thinking_of(part: ReasoningPart) -> str:
    """What goes back of a part; nothing without its token: another target's thinking means nothing here."""
    mark, separator, hidden = part.continuity_token.partition(_HIDDEN)
    if mark not in {_THINKING, _PLAN}:
        return ""
    return hidden.decode("utf-8", "replace") if separator else part.text
