"""Blocks of a stream that are more than a text: each takes its deltas, and says at its end what had to wait for it."""

from base64 import b64decode
from collections.abc import Sequence
from typing import Any, Protocol

from llmproxy_grpc.errors import UpstreamProtocolError
from llmproxy_grpc.messages import MediaKind, MediaPart, OpaquePart, ReasoningDelta
from llmproxy_grpc.providers.candidate import CandidateWriter
from llmproxy_grpc.providers.converse.formats import picture_type
from llmproxy_grpc.providers.converse.makers import NAMES
from llmproxy_grpc.providers.converse.shapes import OPAQUE, CallStart, Delta, Start
from llmproxy_grpc.providers.held import HeldText
from llmproxy_grpc.providers.http_chat import Reply
from llmproxy_grpc.providers.jsonio import decode
from llmproxy_grpc.providers.scrubbing import identifier
from llmproxy_grpc.providers.thinking_tokens import hidden_token, redacted_token, signature_token
from llmproxy_grpc.providers.tool_arguments import as_object


class Block(Protocol):
    """One block while it comes."""

    def add(self, delta: Delta) -> None:
        """Takes a delta; what belongs to other kinds of blocks is ignored."""

    def end(self) -> None:
        """Ends the block."""


def opened(start: Start, writer: CandidateWriter, reply: Reply) -> Block | None:
    """The block that a head opens; None for kinds that are not known."""
    call = start.toolUse
    if call is not None:
        # What Bedrock runs itself, the caller must not run as well.
        return _ServedCall(writer, call) if call.type else _Call(writer, call, reply)
    if start.toolResult is not None:
        return _ServedResult(writer, start.toolResult)
    return _Picture(writer, start.image.format) if start.image is not None else None


def picture(name: str | None, pieces: Sequence[str]) -> MediaPart:
    """A picture that the model drew, out of its bytes in base64.

    Raises:
        UpstreamProtocolError: They are no bytes in base64.
    """
    try:
        data = b"".join(b64decode(piece, validate=True) for piece in pieces)
    except ValueError as error:
        raise UpstreamProtocolError("The provider's picture cannot be read.") from error
    return MediaPart(kind=MediaKind.IMAGE, data=data, media_type=picture_type(name or ""))


class Thought:
    """A block of thinking; it has no head.

    Args:
        writer: Takes what is thought.
        show: Whether the caller sees it.
    """

    def __init__(self, writer: CandidateWriter, *, show: bool) -> None:
        self._writer = writer
        self._show = show
        self._hidden = HeldText(writer.extent)
        self._signature = HeldText(writer.extent)
        self._shown = False

    def add(self, delta: Delta) -> None:
        """Takes more of the thinking, or its signature."""
        thinking = delta.reasoningContent
        if thinking is None:
            return
        if thinking.redactedContent:
            self._writer.redact(redacted_token(thinking.redactedContent))
            return
        if thinking.signature:
            self._signature.add(thinking.signature)
        if not thinking.text:
            return
        if self._show:
            self._shown = True
            self._writer.say(ReasoningDelta, thinking.text)
        else:
            self._hidden.add(thinking.text)

    def end(self) -> None:
        """Gives the continuity token; thinking without a signature has none."""
        signature = self._signature.take()
        if not signature:
            return
        if self._shown:
            self._writer.sign(ReasoningDelta, signature_token(signature))
        else:
            self._writer.redact(hidden_token(self._hidden.take(), signature))


class _Call:
    """A call of one of the caller's functions."""

    def __init__(self, writer: CandidateWriter, start: CallStart, reply: Reply) -> None:
        self._call = writer.open_call(identifier(start.toolUseId) or reply.new_id(), start.name or "")
        self._empty = True

    def add(self, delta: Delta) -> None:
        if delta.toolUse is not None and delta.toolUse.input:
            self._empty = False
            self._call.arguments(delta.toolUse.input)

    def end(self) -> None:
        if self._empty:
            self._call.arguments("{}")  # without a single fragment there are no arguments


class _ServedCall:
    """A call of a tool that Bedrock runs itself."""

    def __init__(self, writer: CandidateWriter, start: CallStart) -> None:
        self._writer = writer
        self._start = start
        self._input = HeldText(writer.extent)

    def add(self, delta: Delta) -> None:
        if delta.toolUse is not None and delta.toolUse.input:
            self._input.add(delta.toolUse.input)

    def end(self) -> None:
        called = {
            "toolUseId": self._start.toolUseId,
            "name": self._start.name,
            "type": self._start.type,
            "input": decode(bytes(as_object(self._input.take())), OPAQUE),
        }
        self._writer.add_part(OpaquePart(provider_kind=NAMES[0], type="toolUse", value=called))


class _ServedResult:
    """What a tool that Bedrock runs itself gave."""

    def __init__(self, writer: CandidateWriter, start: dict[str, Any]) -> None:
        self._writer = writer
        self._start = start
        self._content: list[dict[str, Any]] = []
        self._texts: list[str] = []
        """Those of the last piece, if it is a text: more of it may come."""

    def add(self, delta: Delta) -> None:
        for piece in delta.toolResult if isinstance(delta.toolResult, list) else ():
            if not isinstance(piece, dict):
                continue
            self._writer.extent.hold(len(str(piece)))
            text = piece.get("text")
            if isinstance(text, str) and self._texts:
                self._texts.append(text)
                continue
            self._end_text()
            self._content.append(piece)
            if isinstance(text, str):
                self._texts.append(text)

    def end(self) -> None:
        self._end_text()
        value = {**self._start, "content": self._content}
        self._writer.add_part(OpaquePart(provider_kind=NAMES[0], type="toolResult", value=value))

    def _end_text(self) -> None:
        if self._texts:
            self._content[-1]["text"] = "".join(self._texts)
            self._texts.clear()


class _Picture:
    """A picture that the model draws."""

    def __init__(self, writer: CandidateWriter, name: str | None) -> None:
        self._writer = writer
        self._name = name
        self._pieces: list[str] = []

    def add(self, delta: Delta) -> None:
        if delta.image is not None and delta.image.source is not None and delta.image.source.bytes:
            self._writer.extent.hold(len(delta.image.source.bytes))
            self._pieces.append(delta.image.source.bytes)

    def end(self) -> None:
        if self._pieces:
            self._writer.add_part(picture(self._name, self._pieces))
