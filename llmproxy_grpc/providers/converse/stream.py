"""A stream of ConverseStream, frame by frame: `messageStop` says that it is complete, the counts come behind it."""

from typing import Any

from msgspec.json import encode

from llmproxy_grpc.messages import ReasoningDelta, TextDelta, UpstreamEnd
from llmproxy_grpc.providers.candidate import CallWriter, CandidateWriter
from llmproxy_grpc.providers.converse.answer import finish_reason, metadata, read_citation, read_usage
from llmproxy_grpc.providers.converse.shapes import EVENT, OPAQUE, Delta, Event
from llmproxy_grpc.providers.converse.shapes import ReasoningDelta as Thinking
from llmproxy_grpc.providers.eventstream import Frame
from llmproxy_grpc.providers.http_chat import Reply
from llmproxy_grpc.providers.jsonio import SurrogateJoiner, decode
from llmproxy_grpc.providers.scrubbing import identifier
from llmproxy_grpc.providers.streaming import StreamDecoder
from llmproxy_grpc.providers.thinking_tokens import hidden_token, redacted_token, signature_token


class _Thought:
    """A block of thinking while it comes."""

    def __init__(self) -> None:
        self.hidden: list[str] = []
        self.joiner = SurrogateJoiner()
        self.signature = ""
        self.shown = False


class FrameDecoder(StreamDecoder[Frame]):
    """Turns the frames of one stream into our events.

    Args:
        reply: What is answered.
    """

    def __init__(self, reply: Reply) -> None:
        super().__init__()
        self._reply = reply
        self._show = reply.request.shows_thinking
        self._writer = CandidateWriter(0, self.batch)
        self._index: int | None = None
        self._call: CallWriter | None = None
        self._called = False
        self._thought: _Thought | None = None
        self._stop_reason = ""
        self._more: Any = None
        self._last = Event()

    @property
    def output_started(self) -> bool:
        """Whether any output has come."""
        return self._writer.started

    @property
    def only_tail_missing(self) -> bool:
        """Whether the message has said why it ended."""
        return bool(self._stop_reason)

    def read(self, frame: Frame) -> None:
        """Takes one frame; kinds of events that are not known are ignored."""
        if frame.message_type != "event":
            raise self._reply.failed(_error(frame))
        event = decode(frame.payload, EVENT)
        if frame.name == "contentBlockDelta":
            self._enter(event.contentBlockIndex)
            if event.delta is not None:
                self._add(event.delta)
        elif frame.name == "contentBlockStart":
            self._enter(event.contentBlockIndex)
            self._start(event.start or {})
        elif frame.name == "contentBlockStop":
            self._end_block()
        elif frame.name == "messageStop":
            self._stop_reason = event.stopReason or "end_turn"
            self._more = event.additionalModelResponseFields
        elif frame.name == "metadata":
            self._last = event
            self.done = bool(self._stop_reason)

    def end(self) -> None:
        """Ends the stream; raises unless the message has said why it ended."""
        if not self._stop_reason:
            raise self.broken()
        self._end_block()
        self._writer.finish(finish_reason(self._stop_reason), self._stop_reason)
        told = metadata(self._last.trace, self._more, self._last.serviceTier)
        self.batch.add(UpstreamEnd(read_usage(self._last.usage), told))

    def _enter(self, index: int | None) -> None:
        """Begins another block, unless it is the open one: blocks of text have no start of their own."""
        if index != self._index:
            self._end_block()
            self._index = index

    def _start(self, start: dict[str, Any]) -> None:
        call = start.get("toolUse")
        if isinstance(call, dict):
            name = call.get("name")
            call_id = identifier(call.get("toolUseId")) or self._reply.new_id()
            self._call = self._writer.open_call(call_id, name if isinstance(name, str) else "")
            self._called = False

    def _add(self, delta: Delta) -> None:
        if delta.text is not None:
            self._writer.say(TextDelta, delta.text)
        elif delta.toolUse is not None:
            if self._call is not None and delta.toolUse.input:
                self._called = True
                self._call.arguments(delta.toolUse.input)
        elif delta.reasoningContent is not None:
            self._think(delta.reasoningContent)
        elif delta.citation is not None:
            self._writer.annotate(citations=read_citation(delta.citation))

    def _think(self, thinking: Thinking) -> None:
        if thinking.redactedContent:
            self._writer.redact(redacted_token(thinking.redactedContent))
            return
        if self._thought is None:
            self._thought = _Thought()
        self._thought.signature += thinking.signature or ""
        if not thinking.text:
            return
        if self._show:
            self._thought.shown = True
            self._writer.say(ReasoningDelta, thinking.text)
        else:
            self._thought.hidden.append(self._thought.joiner.feed(thinking.text))

    def _end_block(self) -> None:
        call, self._call = self._call, None
        thought, self._thought = self._thought, None
        self._index = None
        if call is not None and not self._called:
            call.arguments("{}")  # without a single fragment there are no arguments
        if thought is not None and thought.shown:
            token = signature_token(thought.signature)
            if token:
                self._writer.sign(ReasoningDelta, token)
        elif thought is not None:
            text = "".join(thought.hidden) + thought.joiner.flush()
            self._writer.redact(hidden_token(text, thought.signature))
        self._writer.leave()


def _error(frame: Frame) -> bytes:
    """An exception in the shape of an error's body: its type stands in the frame, not in its payload."""
    try:
        said = decode(frame.payload or b"{}", OPAQUE).get("message")
    except Exception:  # noqa: BLE001 - whatever it says, it is an error
        said = None
    message = said if isinstance(said, str) else ""
    return encode({"error": {"code": frame.name or "internalServerException", "message": message}})
