"""A stream of the Messages API, decoded event by event; `message_stop` ends it."""

from typing import Any

from msgspec.json import Decoder

from llmproxy_grpc.errors import UpstreamProtocolError
from llmproxy_grpc.messages import OpaquePart, ReasoningDelta, StreamEvent, TextDelta, UpstreamEnd, UsageSoFar
from llmproxy_grpc.providers.anthropic_messages.citations import read_citation, read_citations
from llmproxy_grpc.providers.anthropic_messages.finish import finish_reason, metadata
from llmproxy_grpc.providers.anthropic_messages.shapes import EVENT, Delta, Event
from llmproxy_grpc.providers.anthropic_messages.usage import merged, read_usage
from llmproxy_grpc.providers.candidate import CallWriter, CandidateWriter
from llmproxy_grpc.providers.http_chat import Reply
from llmproxy_grpc.providers.jsonio import SurrogateJoiner, decode, decode_whole
from llmproxy_grpc.providers.scrubbing import identifier
from llmproxy_grpc.providers.sse import ServerSentEvent
from llmproxy_grpc.providers.streaming import StreamDecoder
from llmproxy_grpc.providers.thinking_tokens import hidden_token, redacted_token, signature_token
from llmproxy_grpc.providers.tool_arguments import as_text

_ANYTHING: Decoder[Any] = Decoder()


class _Thinking:
    """A block of thinking while it comes."""

    def __init__(self) -> None:
        self.hidden: list[str] = []
        self.joiner = SurrogateJoiner()
        self.shown = False
        self.signature = ""


class _OpenCall:
    """A tool call while its input comes: without a single fragment it is what the block began with."""

    def __init__(self, writer: CallWriter, initial: Any) -> None:
        self.writer = writer
        self.initial = initial
        self.started = False


class _Opaque:
    """A block that the API does not model while it comes; the input of a tool of the provider comes in fragments."""

    def __init__(self, kind: str, value: dict[str, Any]) -> None:
        self.kind = kind
        self.value = value
        self.fragments: list[str] = []

    def part(self) -> OpaquePart:
        value = self.value
        if self.fragments:
            value = {**value, "input": decode_whole("".join(self.fragments).encode("utf-8", "replace"), _ANYTHING)}
        return OpaquePart(provider_kind="anthropic", type=self.kind, value=value)


class EventDecoder(StreamDecoder[ServerSentEvent]):
    """Turns the events of one stream into ours; blocks come one after the other.

    Args:
        reply: What is answered.
    """

    def __init__(self, reply: Reply) -> None:
        super().__init__()
        self._reply = reply
        self._show = reply.request.shows_thinking
        self._writer = CandidateWriter(0, self.batch)
        self._block: _Thinking | _OpenCall | _Opaque | None = None
        self._usage: Any = None
        self._has_news_of_usage = False
        self._model: Any = None
        self._last = Delta()

    @property
    def output_started(self) -> bool:
        """Whether any output has come."""
        return self._writer.started

    @property
    def only_tail_missing(self) -> bool:
        """Whether the message has said why it ended."""
        return bool(self._last.stop_reason)

    def read(self, frame: ServerSentEvent) -> None:
        """Takes one event; kinds of events that are not known are ignored."""
        event = decode(frame.data, EVENT)
        delta = event.delta
        if event.type == "content_block_delta":
            if delta is not None:
                self._add(delta)
        elif event.type == "content_block_start":
            self._start_block(event.content_block or {})
        elif event.type == "content_block_stop":
            self._end_block()
        elif event.type == "message_stop":
            self.done = True
        elif event.type == "error" or event.error is not None:
            raise self._reply.failed(frame.data)
        else:
            self._note(event)

    def take(self) -> list[StreamEvent]:
        """Gives our events for all that was fed since the last time."""
        if self._has_news_of_usage:
            self._has_news_of_usage = False
            usage = read_usage(self._usage)
            if usage is not None:
                self.batch.add(UsageSoFar(usage))
        return super().take()

    def end(self) -> None:
        """Ends the stream; raises unless the message has said why it ended."""
        last = self._last
        if not last.stop_reason:
            raise self.broken()
        self._end_block()
        self._writer.finish(finish_reason(last.stop_reason), last.stop_reason, last.stop_sequence or "")
        self._has_news_of_usage = False
        told = metadata(
            model=self._model,
            asked=self._reply.model,
            usage=self._usage,
            stop_details=last.stop_details,
            container=last.container,
        )
        self.batch.add(UpstreamEnd(read_usage(self._usage), told))

    def _note(self, event: Event) -> None:
        """Takes what an event says of the message as a whole."""
        usage = event.usage
        if event.message is not None:
            self._model = event.message.model
            usage = event.message.usage
        if event.type == "message_delta" and event.delta is not None:
            self._last = event.delta
        if usage is not None:
            self._usage = merged(self._usage, usage)
            self._has_news_of_usage = True

    def _start_block(self, block: dict[str, Any]) -> None:
        self._end_block()
        kind = block.get("type")
        if kind == "text":
            self._writer.say(TextDelta, _text(block, "text"))
            self._writer.annotate(citations=read_citations(block.get("citations")))
        elif kind == "tool_use":
            call_id = identifier(block.get("id")) or self._reply.new_id()
            writer = self._writer.open_call(call_id, _text(block, "name"))
            self._block = _OpenCall(writer, block.get("input"))
        elif kind == "thinking":
            self._block = _Thinking()
            self._think(_text(block, "thinking"))
        elif kind == "redacted_thinking":
            self._writer.redact(redacted_token(_text(block, "data")))
        elif isinstance(kind, str):
            value = {name: value for name, value in block.items() if name != "type"}
            self._block = _Opaque(kind, value)
        else:
            raise UpstreamProtocolError("The provider began a block of no type.")

    def _add(self, delta: Delta) -> None:
        if delta.type == "text_delta":
            self._writer.say(TextDelta, delta.text or "")
        elif delta.type == "input_json_delta":
            if isinstance(self._block, _OpenCall) and delta.partial_json:
                self._block.started = True
                self._block.writer.arguments(delta.partial_json)
            elif isinstance(self._block, _Opaque) and delta.partial_json:
                self._block.fragments.append(delta.partial_json)
        elif delta.type == "thinking_delta":
            self._think(delta.thinking or "")
        elif delta.type == "signature_delta":
            if isinstance(self._block, _Thinking):
                self._block.signature += delta.signature or ""
        elif delta.type == "citations_delta" and isinstance(delta.citation, dict):
            self._writer.annotate(citations=(read_citation(delta.citation),))

    def _think(self, text: str) -> None:
        if not text or not isinstance(self._block, _Thinking):
            return
        if self._show:
            self._block.shown = True
            self._writer.say(ReasoningDelta, text)
        else:
            self._block.hidden.append(self._block.joiner.feed(text))

    def _end_block(self) -> None:
        block, self._block = self._block, None
        if isinstance(block, _OpenCall):
            if not block.started:
                block.writer.arguments(as_text(block.initial))
        elif isinstance(block, _Opaque):
            self._writer.add_part(block.part())
        elif isinstance(block, _Thinking):
            if block.shown:
                token = signature_token(block.signature)
                if token:
                    self._writer.sign(ReasoningDelta, token)
            else:
                text = "".join(block.hidden) + block.joiner.flush()
                self._writer.redact(hidden_token(text, block.signature))
        self._writer.leave()


def _text(block: dict[str, Any], name: str) -> str:
    value = block.get(name)
    return value if isinstance(value, str) else ""
