"""The blocks of a stream while they come: each takes its deltas, and says at its end what only then is known."""

from typing import Any, Protocol

from llmproxy_grpc.messages import OpaquePart, ReasoningDelta, TextDelta
from llmproxy_grpc.providers.anthropic_messages.citations import read_citations
from llmproxy_grpc.providers.anthropic_messages.extra_fields import citations_token
from llmproxy_grpc.providers.anthropic_messages.shapes import OBJECT, Delta
from llmproxy_grpc.providers.candidate import CallWriter, CandidateWriter
from llmproxy_grpc.providers.held import HeldText
from llmproxy_grpc.providers.jsonio import SurrogateJoiner, decode
from llmproxy_grpc.providers.thinking_tokens import hidden_token, signature_token
from llmproxy_grpc.providers.tool_arguments import as_object, as_text


class StreamedBlock(Protocol):
    """A block that is open."""

    def add(self, delta: Delta, data: bytes) -> None:
        """Takes more of it; `data` is the whole event, for what `Delta` does not know."""

    def end(self) -> None:
        """Ends it."""


class StreamedText:
    """A text, with its sources.

    Args:
        writer: Writes the candidate.
        text: What the block begins with.
        citations: The sources that it begins with.
    """

    def __init__(self, writer: CandidateWriter, text: str, citations: list[dict[str, Any]]) -> None:
        self._writer = writer
        self._joiner = SurrogateJoiner()
        self._length = 0
        self._citations = citations
        self._say(text)

    def add(self, delta: Delta, data: bytes) -> None:
        """Takes more text, or one more source."""
        if delta.type == "text_delta" and delta.text:
            self._say(delta.text)
        elif delta.type == "citations_delta" and isinstance(delta.citation, dict):
            self._writer.extent.hold(len(data))
            self._citations.append(delta.citation)

    def end(self) -> None:
        """Names the sources: what cites them is the whole text, whose length is known only now."""
        length = self._length + len(self._joiner.flush())
        if not self._citations or not length:
            return
        self._writer.annotate(citations=read_citations(self._citations, length))
        token = citations_token(self._citations)
        if token:
            self._writer.sign(TextDelta, token)

    def _say(self, text: str) -> None:
        self._length += len(self._joiner.feed(text))
        self._writer.say(TextDelta, text)


class StreamedThinking:
    """Thinking, which is held back where the caller does not want to see it.

    Args:
        writer: Writes the candidate.
        text: What the block begins with.
        signature: The signature that it begins with, which counts if none comes later.
        show: Whether the caller wants to see it.
    """

    def __init__(self, writer: CandidateWriter, text: str, signature: str = "", *, show: bool) -> None:
        self._writer = writer
        self._show = show
        self._hidden = HeldText(writer.extent)
        self._shown = False
        self._first_signature = signature
        self._signature = HeldText(writer.extent)
        self._think(text)

    def add(self, delta: Delta, data: bytes) -> None:  # noqa: ARG002 - as every block
        """Takes more thinking, or more of its signature."""
        if delta.type == "thinking_delta":
            self._think(delta.thinking or "")
        elif delta.type == "signature_delta":
            self._signature.add(delta.signature or "")

    def end(self) -> None:
        """Gives the thinking its token."""
        signature = self._signature.take() or self._first_signature
        if not self._shown:
            self._writer.redact(hidden_token(self._hidden.take(), signature))
            return
        token = signature_token(signature)
        if token:
            self._writer.sign(ReasoningDelta, token)

    def _think(self, text: str) -> None:
        if text and self._show:
            self._shown = True
            self._writer.say(ReasoningDelta, text)
        elif text:
            self._hidden.add(text)


class StreamedRedaction:
    """Thinking that the provider does not show: it came whole, with its token."""

    def __init__(self, writer: CandidateWriter, token: bytes) -> None:
        writer.redact(token)

    def add(self, delta: Delta, data: bytes) -> None:
        """Takes nothing: there is no more of it."""

    def end(self) -> None:
        """Does nothing."""


class StreamedCall:
    """A tool call: without a single fragment its input is what the block began with."""

    def __init__(self, writer: CallWriter, initial: Any) -> None:
        self._writer = writer
        self._initial = initial
        self._begun = False

    def add(self, delta: Delta, data: bytes) -> None:  # noqa: ARG002 - as every block
        """Takes a fragment of the input."""
        if delta.type == "input_json_delta" and delta.partial_json:
            self._begun = True
            self._writer.arguments(delta.partial_json)

    def end(self) -> None:
        """Ends the input."""
        if not self._begun:
            self._writer.arguments(as_text(self._initial))


class StreamedOpaque:
    """A block that the API does not model, whose fields come with its beginning or later.

    Args:
        writer: Writes the candidate.
        kind: The block's type.
        value: The fields that it begins with.
    """

    def __init__(self, writer: CandidateWriter, kind: str, value: dict[str, Any]) -> None:
        self._writer = writer
        self._kind = kind
        self._value = value
        self._input = HeldText(writer.extent)

    def add(self, delta: Delta, data: bytes) -> None:
        """Takes a fragment of the input of the provider's own tool, or what else it tells: such fields come whole."""
        if delta.type == "input_json_delta":
            self._input.add(delta.partial_json or "")
            return
        self._writer.extent.hold(len(data))
        news = decode(data, OBJECT)["delta"]
        self._value |= {name: value for name, value in news.items() if name != "type"}

    def end(self) -> None:
        """Gives the block."""
        text = self._input.take()
        if text:
            # What the limit of output cut off is shown as it came.
            self._value["input"] = decode(bytes(as_object(text)), OBJECT)
        self._writer.add_part(OpaquePart(provider_kind="anthropic", type=self._kind, value=self._value))
