"""Conversations at random as callers may have them: in any order, with calls that nobody answers and media anywhere."""

from random import Random

from llmproxy_grpc.messages import (
    CacheHint,
    MediaKind,
    MediaPart,
    Message,
    OpaquePart,
    Part,
    ReasoningPart,
    RefusalPart,
    Role,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)

_ROLES = (Role.SYSTEM, Role.USER, Role.USER, Role.ASSISTANT, Role.ASSISTANT, Role.TOOL)
_HINTS = (None, None, None, CacheHint(), CacheHint(3600))
_PICTURES = (
    MediaPart(kind=MediaKind.IMAGE, uri="s3://bucket/of-no-format"),
    MediaPart(kind=MediaKind.IMAGE, data=b"x", media_type="image/png"),
)
_FOREIGN = OpaquePart(provider_kind="another", type="thing", value={})
_THOUGHT = ReasoningPart(text="Hm.", continuity_token=b"s:sig")


def odd_conversation(random: Random) -> tuple[Message, ...]:
    """A valid conversation; results answer calls that came before, each at most once."""
    messages: list[Message] = []
    calls: list[str] = []
    waiting: list[str] = []
    for _ in range(random.randint(1, 8)):
        role = random.choice(_ROLES)
        if role is Role.TOOL:
            random.shuffle(waiting)
            parts = [_result(random, waiting.pop()) for _ in range(random.randint(0, len(waiting)))]
        elif role is Role.ASSISTANT:
            parts = [_said(random, calls, waiting) for _ in range(random.randint(1, 3))]
        else:
            parts = [_asked(random) for _ in range(random.randint(1, 2))]
        if parts:
            messages.append(Message(role, tuple(parts)))
    return tuple(messages) or (Message(Role.USER, (TextPart(text="x"),)),)


def _result(random: Random, call: str) -> Part:
    content = [random.choice((TextPart(text="r"), *_PICTURES)) for _ in range(random.randint(0, 2))]
    return ToolResultPart(tool_call_id=call, content=tuple(content), cache_hint=random.choice(_HINTS))


def _said(random: Random, calls: list[str], waiting: list[str]) -> Part:
    if random.random() < 0.4:
        calls.append(f"c{len(calls)}")
        waiting.append(calls[-1])
        return ToolCallPart(id=calls[-1], name="f", arguments_json="{}", cache_hint=random.choice(_HINTS))
    text = TextPart(text=random.choice(("said", "said ", " ")), cache_hint=random.choice(_HINTS))
    return random.choice((text, text, _THOUGHT, _FOREIGN, RefusalPart(text=random.choice(("no", " ")))))


def _asked(random: Random) -> Part:
    hint = random.choice(_HINTS)
    text = TextPart(text=random.choice(("x", "x", " ")), cache_hint=hint)
    paper = MediaPart(kind=MediaKind.DOCUMENT, data=b"%PDF", media_type="application/pdf", cache_hint=hint)
    return random.choice((text, text, text, paper, _FOREIGN, *_PICTURES))
