"""A stream of ConverseStream, frame by frame: `messageStop` says that it is complete, the counts come behind it."""

from typing import Any

from msgspec.json import encode

from llmproxy_grpc.errors import UpstreamProtocolError
from llmproxy_grpc.messages import TextDelta, UpstreamEnd
from llmproxy_grpc.providers.candidate import CandidateWriter
from llmproxy_grpc.providers.converse.answer import (
    finish_reason,
    matched_stop_sequence,
    metadata,
    read_citation,
    read_usage,
)
from llmproxy_grpc.providers.converse.blocks import Block, Thought, opened
from llmproxy_grpc.providers.converse.shapes import EVENT, OPAQUE, Delta, Event
from llmproxy_grpc.providers.eventstream import Frame
from llmproxy_grpc.providers.http_chat import Reply
from llmproxy_grpc.providers.jsonio import decode, joined
from llmproxy_grpc.providers.streaming import StreamDecoder


class FrameDecoder(StreamDecoder[Frame]):
    """Turns the frames of one stream into our events.

    Args:
        reply: What is answered.
    """

    def __init__(self, reply: Reply) -> None:
        super().__init__()
        self._reply = reply
        self._writer = CandidateWriter(0, self.batch)
        self._index: int | None = None
        self._block: Block | None = None
        self._stopped = False
        self._stop_reason = ""
        self._more: Any = None
        self._last = Event()

    @property
    def output_started(self) -> bool:
        """Whether any output has come."""
        return self._writer.started

    @property
    def only_tail_missing(self) -> bool:
        """Whether the message has ended, so that nothing but the counts may follow."""
        return self._stopped

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
            if event.start is not None:
                self._block = opened(event.start, self._writer, self._reply)
        elif frame.name == "contentBlockStop":
            self._end_block()
        elif frame.name == "messageStop":
            self._stopped = True
            self._stop_reason = event.stopReason or ""
            self._more = event.additionalModelResponseFields
        elif frame.name == "metadata":
            self._last = event
            self.done = self._stopped

    def end(self) -> None:
        """Ends the stream; raises unless the message has ended."""
        if not self._stopped:
            raise self.broken()
        self._end_block()
        reason = finish_reason(self._stop_reason)
        self._writer.finish(reason, self._stop_reason, matched_stop_sequence(reason, self._more))
        self.batch.add(UpstreamEnd(read_usage(self._last, self._more), metadata(self._last, self._more)))

    def _enter(self, index: int | None) -> None:
        """Begins another block, unless it is the open one: blocks of text have no head."""
        if index != self._index:
            self._end_block()
            self._index = index

    def _add(self, delta: Delta) -> None:
        if delta.text is not None:
            self._writer.say(TextDelta, delta.text)
        elif delta.citation is not None:
            self._writer.annotate(citations=read_citation(delta.citation))
        else:
            if self._block is None and delta.reasoningContent is not None:
                self._block = Thought(self._writer, show=self._reply.request.shows_thinking)
            if self._block is not None:
                self._block.add(delta)

    def _end_block(self) -> None:
        block, self._block = self._block, None
        self._index = None
        if block is not None:
            block.end()
        self._writer.leave()


def _error(frame: Frame) -> bytes:
    """An exception in the shape of an error's body: its type stands in the frame, not in its payload."""
    try:
        said = decode(frame.payload or b"{}", OPAQUE).get("message")
    except UpstreamProtocolError:  # whatever it says, it is an error
        said = None
    message = joined(said) if isinstance(said, str) else frame.words
    return encode({"error": {"code": frame.name or "internalServerException", "message": message}})
