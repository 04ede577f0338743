"""The rules of a conversation: who may say what, and that every tool result answers a call."""

from collections.abc import Sequence

from llmproxy_grpc._gen.v1 import content_pb2 as pb
from llmproxy_grpc.server.validation import bounds
from llmproxy_grpc.server.validation.findings import Findings
from llmproxy_grpc.server.validation.media import MEDIA, check_media
from llmproxy_grpc.server.validation.rules import (
    check_citations,
    check_duration,
    check_required_word,
    check_struct,
    check_word,
)

_ROLES = frozenset({pb.ROLE_SYSTEM, pb.ROLE_DEVELOPER, pb.ROLE_USER, pb.ROLE_ASSISTANT, pb.ROLE_TOOL})
_OF_THE_MODEL = frozenset({"tool_call", "reasoning", "refusal"})
_OF_A_RESULT = MEDIA | {"text", "opaque"}


def check_messages(found: Findings, messages: Sequence[pb.Message]) -> None:
    """Checks a whole conversation."""
    if not messages:
        found.add("messages", "is required")
    elif len(messages) > bounds.MAX_MESSAGES:
        found.add("messages", f"must be at most {bounds.MAX_MESSAGES}")
    else:
        _Conversation(found).check(messages)


class _Conversation:
    """What has to be remembered from one message to the next."""

    __slots__ = ("_found", "_room", "_waiting")

    def __init__(self, found: Findings) -> None:
        self._found = found
        self._room = bounds.MAX_PARTS
        # Calls without a result so far, by id. Some providers count their ids anew in every turn, so an id may come
        # again once its call is answered.
        self._waiting: set[str] = set()

    def check(self, messages: Sequence[pb.Message]) -> None:
        for index, message in enumerate(messages):
            self._message(index, message)
            if self._room < 0:
                self._found.add("messages", f"must have at most {bounds.MAX_PARTS} parts in all")
                return

    def _message(self, index: int, message: pb.Message) -> None:
        role = message.role
        if role not in _ROLES:
            self._found.add(f"messages[{index}].role", f"{role} is no role of this version" if role else "is required")
        name = message.name
        if name:
            check_word(self._found, f"messages[{index}].name", name, bounds.MAX_NAME)
        parts = message.parts
        if not parts:
            self._found.add(f"messages[{index}].parts", "is required")
            return
        self._room -= len(parts)
        if self._room >= 0:
            for number, part in enumerate(parts):
                # Text, the common case, may stand anywhere but in a TOOL message.
                if part.WhichOneof("part") != "text" or role == pb.ROLE_TOOL:
                    self._part(f"messages[{index}].parts[{number}]", part, role)
                if part.citations:
                    check_citations(self._found, f"messages[{index}].parts[{number}].citations", len(part.citations))
                if part.HasField("cache_hint"):
                    self._cache_hint(f"messages[{index}].parts[{number}].cache_hint", part.cache_hint)

    def _part(self, path: str, part: pb.ContentPart, role: int) -> None:
        kind = part.WhichOneof("part")
        if kind is None:
            self._found.add(path, "must have content of a kind that this version knows")
        elif role == pb.ROLE_TOOL and kind != "tool_result":
            self._found.add(f"{path}.{kind}", "a TOOL message holds tool results only")
        elif kind in _OF_THE_MODEL and role != pb.ROLE_ASSISTANT:
            self._found.add(f"{path}.{kind}", "may stand in an ASSISTANT message only")
        elif kind == "tool_call":
            self._tool_call(f"{path}.tool_call", part.tool_call)
        elif kind == "tool_result":
            self._tool_result(f"{path}.tool_result", part.tool_result, role)
        else:
            self._content(path, kind, part)

    def _content(self, path: str, kind: str, part: pb.ContentPart) -> None:
        if kind in MEDIA:
            check_media(self._found, f"{path}.{kind}", getattr(part, kind))
        elif kind == "opaque":
            check_required_word(
                self._found, f"{path}.opaque.provider_kind", part.opaque.provider_kind, bounds.MAX_PROVIDER
            )
            check_struct(self._found, f"{path}.opaque.value", part.opaque.value)

    def _tool_call(self, path: str, call: pb.ToolCall) -> None:
        check_required_word(self._found, f"{path}.id", call.id, bounds.MAX_ID)
        if not call.name:
            self._found.add(f"{path}.name", "is required")
        if call.id in self._waiting:
            self._found.add(f"{path}.id", "is the id of another call that waits for its result")
        elif call.id:
            self._waiting.add(call.id)

    def _tool_result(self, path: str, result: pb.ToolResult, role: int) -> None:
        if role != pb.ROLE_TOOL:
            self._found.add(path, "may stand in a TOOL message only")
        elif not result.tool_call_id:
            self._found.add(f"{path}.tool_call_id", "is required")
        elif result.tool_call_id not in self._waiting:
            self._found.add(f"{path}.tool_call_id", "no earlier tool call with this id waits for a result")
        self._waiting.discard(result.tool_call_id)
        self._room -= len(result.content)
        if self._room < 0:
            return
        for index, item in enumerate(result.content):
            kind = item.WhichOneof("part")
            if item.citations:
                check_citations(self._found, f"{path}.content[{index}].citations", len(item.citations))
            if kind in _OF_A_RESULT:
                self._content(f"{path}.content[{index}]", kind, item)
            else:
                self._found.add(f"{path}.content[{index}]", "must be text, media or an opaque part")

    def _cache_hint(self, path: str, hint: pb.CacheHint) -> None:
        if hint.HasField("ttl"):
            check_duration(self._found, f"{path}.ttl", hint.ttl, bounds.CACHE_TTL)
