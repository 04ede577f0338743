"""A stream of the Messages API, decoded event by event; `message_stop` ends it."""

from typing import Any, Final

from msgspec import Raw
from msgspec.structs import replace

from llmproxy_grpc.errors import UpstreamProtocolError
from llmproxy_grpc.messages import UpstreamEnd, Usage
from llmproxy_grpc.providers.anthropic_messages.blocks import (
    StreamedBlock,
    StreamedCall,
    StreamedOpaque,
    StreamedRedaction,
    StreamedText,
    StreamedThinking,
)
from llmproxy_grpc.providers.anthropic_messages.citations import listed
from llmproxy_grpc.providers.anthropic_messages.extra_fields import call_token
from llmproxy_grpc.providers.anthropic_messages.finish import finish_reason, metadata
from llmproxy_grpc.providers.anthropic_messages.shapes import EVENT, LIBERAL_EVENT, OBJECT, Block, Delta, Event
from llmproxy_grpc.providers.anthropic_messages.usage import merged, read_usage
from llmproxy_grpc.providers.candidate import CandidateWriter
from llmproxy_grpc.providers.http_chat import Reply
from llmproxy_grpc.providers.jsonio import decode, decode_piece
from llmproxy_grpc.providers.scrubbing import identifier
from llmproxy_grpc.providers.sse import ServerSentEvent
from llmproxy_grpc.providers.streaming import StreamDecoder
from llmproxy_grpc.providers.thinking_tokens import redacted_token

_ENDING: Final = ("stop_reason", "stop_sequence", "stop_details", "container")


class EventDecoder(StreamDecoder[ServerSentEvent]):
    """Turns the events of one stream into ours; the fragments of calls go by the numbers of their blocks.

    Args:
        reply: What is answered.
    """

    def __init__(self, reply: Reply) -> None:
        super().__init__()
        self._reply = reply
        self._show = reply.request.shows_thinking
        self._writer = CandidateWriter(0, self.batch)
        self._open: dict[int, StreamedBlock] = {}
        self._usage: Any = None
        self._model: Any = None
        self._last = Delta()
        self._context_management: Any = None

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
        event = decode_piece(frame.data, EVENT, LIBERAL_EVENT)
        delta = event.delta
        if event.type == "content_block_delta":
            if delta is not None:
                self._block(event.index, delta).add(delta, frame.data)
        elif event.type == "content_block_start":
            self._start(event, frame.data)
        elif event.type == "content_block_stop":
            self._end_block(event.index)
        elif event.type == "message_stop":
            self.done = True
        elif event.type == "error" or event.error is not None:
            raise self._reply.failed(frame.data)
        else:
            self._note(event)

    def usage_so_far(self) -> Usage | None:
        """What the counts come to that have come last."""
        return read_usage(self._usage)

    def end(self) -> None:
        """Ends the stream; raises unless the message has said why it ended."""
        last = self._last
        if not last.stop_reason:
            raise self.broken()
        for index in tuple(self._open):
            self._end_block(index)
        reason = finish_reason(last.stop_reason, last.stop_sequence)
        self._writer.finish(reason, last.stop_reason, last.stop_sequence or "")
        self.usage_is_news = False
        told = metadata(
            model=self._model,
            asked=self._reply.model,
            usage=self._usage,
            stop_details=last.stop_details,
            container=last.container,
            context_management=self._context_management,
        )
        self.batch.add(UpstreamEnd(read_usage(self._usage), told))

    def _note(self, event: Event[Raw] | Event[Any]) -> None:
        """Takes what an event says of the message as a whole."""
        usage = event.usage
        if event.message is not None:
            self._model = event.message.model
            usage = event.message.usage
        if event.type == "message_delta" and event.delta is not None:
            # There may be several such events: what one leaves out stays as it was.
            told = {name: value for name in _ENDING if (value := getattr(event.delta, name)) is not None}
            self._last = replace(self._last, **told)
            self._context_management = event.context_management or self._context_management
        if usage is not None:
            self._usage = merged(self._usage, usage)
            self.usage_is_news = True

    def _block(self, index: int, delta: Delta) -> StreamedBlock:
        """The block that goes on; a text or a thinking that nobody announced begins now."""
        block = self._open.get(index)
        if block is None:
            if delta.type == "input_json_delta":
                raise UpstreamProtocolError("The provider sent input of no tool call.")
            block = self._begin(index, Block(type="thinking" if delta.type == "thinking_delta" else "text"))
        return block

    def _start(self, event: Event[Raw] | Event[Any], data: bytes) -> None:
        block = event.content_block
        if block is None or not block.type:
            raise UpstreamProtocolError("The provider began a block of no type.")
        self._begin(event.index, block, data)

    def _begin(self, index: int, block: Block[Any], data: bytes = b"") -> StreamedBlock:
        """Opens a block; calls may come side by side, what else was open ends here."""
        for other, opened in tuple(self._open.items()):
            if other == index or not isinstance(opened, StreamedCall):
                self._end_block(other)
        begun = self._open[index] = self._opened(block, data)
        return begun

    def _opened(self, block: Block[Any], data: bytes) -> StreamedBlock:
        match block.type:
            case "text":
                return StreamedText(self._writer, block.text or "", listed(block.citations))
            case "tool_use":
                call_id = identifier(block.id) or self._reply.new_id()
                token = call_token(caller=block.caller, toolset=block.toolset_name)
                return StreamedCall(self._writer.open_call(call_id, block.name or "", token=token), block.input)
            case "thinking":
                return StreamedThinking(self._writer, block.thinking or "", block.signature or "", show=self._show)
            case "redacted_thinking":
                return StreamedRedaction(self._writer, redacted_token(block.data or ""))
            case kind:
                value = decode(data, OBJECT)["content_block"]
                value.pop("type")
                return StreamedOpaque(self._writer, kind, value)

    def _end_block(self, index: int) -> None:
        block = self._open.pop(index, None)
        if block is None:
            return
        block.end()
        if not isinstance(block, StreamedCall):
            self._writer.leave()
