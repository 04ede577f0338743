"""Continuity tokens go to the target that made them alone: sealed with its name on the way out, opened on the way back.

A thought signature or encrypted reasoning is worth something to the provider and model that made it, and an error to
any other. Providers see their own tokens alone, as they made them.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from llmproxy_grpc.messages import (
    ChatRequest,
    Delta,
    Message,
    Part,
    PartDelta,
    ProviderResponse,
    ReasoningPart,
    StreamEvent,
    Warning,
)
from llmproxy_grpc.routing.catalog import Target

_VERSION: Final = b"1"


class Opened(Struct, frozen=True):
    """A request as one target may see it, and the paths of the tokens that other targets made."""

    request: ChatRequest
    stripped: tuple[str, ...] = ()

    def warnings(self) -> Iterator[Warning]:
        """One warning for all that was stripped: a long conversation has many."""
        if self.stripped:
            more = f" and {len(self.stripped) - 1} more" if len(self.stripped) > 1 else ""
            yield Warning(
                "CONTINUITY_DROPPED",
                self.stripped[0],
                f"This token{more} came from another target, which alone can read it: the thinking behind it is lost.",
            )


def opened(request: ChatRequest, target: Target) -> Opened:
    """Gives the target its own tokens back and takes away the others, with hidden thinking that was nothing else."""
    messages = request.messages
    if not any(part.continuity_token for message in messages for part in message.parts):
        return Opened(request)
    seal = _seal(target)
    stripped: list[str] = []
    adapted = tuple(_opened(message, seal, f"messages[{index}]", stripped) for index, message in enumerate(messages))
    return Opened(replace(request, messages=adapted), tuple(stripped))


def sealed_response(response: ProviderResponse, target: Target) -> ProviderResponse:
    """An answer whose tokens are sealed."""
    if not any(part.continuity_token for candidate in response.candidates for part in candidate.message.parts):
        return response
    seal = _seal(target)
    candidates = tuple(
        replace(
            candidate,
            message=replace(candidate.message, parts=tuple(_sealed(part, seal) for part in candidate.message.parts)),
        )
        for candidate in response.candidates
    )
    return replace(response, candidates=candidates)


def sealed_events(events: Sequence[StreamEvent], target: Target) -> Sequence[StreamEvent]:
    """Events of a stream whose tokens are sealed."""
    seal = _seal(target)
    return [_sealed_event(event, seal) if isinstance(event, Delta) else event for event in events]


def has_token(delta: Delta) -> bool:
    """Whether a delta carries a token."""
    return bool(delta.continuity_token or (type(delta) is PartDelta and delta.part.continuity_token))


def _seal(target: Target) -> bytes:
    name = f"{target.provider}/{target.upstream_model}".encode("utf-8", "replace")
    return _VERSION + len(name).to_bytes(4) + name


def _opened(message: Message, seal: bytes, path: str, stripped: list[str]) -> Message:
    parts: list[Part] = []
    for index, part in enumerate(message.parts):
        token = part.continuity_token
        if not token:
            parts.append(part)
        elif token.startswith(seal):
            parts.append(replace(part, continuity_token=token[len(seal) :]))
        else:
            stripped.append(f"{path}.parts[{index}].continuity_token")
            if not (isinstance(part, ReasoningPart) and part.redacted):
                parts.append(replace(part, continuity_token=b""))
    return replace(message, parts=tuple(parts))


def _sealed(part: Part, seal: bytes) -> Part:
    return replace(part, continuity_token=seal + part.continuity_token) if part.continuity_token else part


def _sealed_event(delta: Delta, seal: bytes) -> Delta:
    if isinstance(delta, PartDelta):
        delta = replace(delta, part=_sealed(delta.part, seal))
    return replace(delta, continuity_token=seal + delta.continuity_token) if delta.continuity_token else delta
