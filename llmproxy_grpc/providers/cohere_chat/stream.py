"""Answers of Cohere: a whole one, and the events of a stream; `message-end` ends it."""

from collections.abc import Iterable
from typing import Any, Final

from llmproxy_grpc.errors import ProxyError, UpstreamProtocolError
from llmproxy_grpc.messages import Citation, ProviderResponse, ReasoningDelta, TextDelta, UpstreamEnd
from llmproxy_grpc.providers.candidate import CallWriter, CandidateWriter
from llmproxy_grpc.providers.cohere_chat.answer import (
    finish_reason,
    read_citations,
    read_logprobs,
    read_usage,
    without_hidden,
)
from llmproxy_grpc.providers.cohere_chat.shapes import ANSWER, EVENT, Content, Logprobs, Message, ToolCall
from llmproxy_grpc.providers.cohere_chat.thinking import token
from llmproxy_grpc.providers.held import HeldText
from llmproxy_grpc.providers.http_chat import Reply
from llmproxy_grpc.providers.jsonio import decode
from llmproxy_grpc.providers.scrubbing import identifier
from llmproxy_grpc.providers.sse import ServerSentEvent
from llmproxy_grpc.providers.streaming import StreamDecoder

_DONE: Final = b"[DONE]"
_THOUGHTS: Final = {"PLAN": "plan", "THINKING_CONTENT": "thinking"}
"""What cites a source, where that is no text."""


def read_answer(data: bytes, reply: Reply) -> ProviderResponse:
    """Reads an answer in one piece.

    Raises:
        UpstreamProtocolError: It is no answer.
        ProxyError: It is an error of the provider.
    """
    answer = decode(data, ANSWER)
    if isinstance(answer.message, str):
        raise reply.failed(data)
    if answer.message is None or not answer.finish_reason:
        raise UpstreamProtocolError("The provider's answer is not whole.")
    decoder = EventDecoder(reply)
    decoder.take_message(answer.message)
    hidden = "" if reply.request.shows_thinking else _thoughts(answer.message)
    decoder.take_logprobs(without_hidden(answer.logprobs or (), hidden))
    decoder.finish(answer.finish_reason, answer.usage)
    return decoder.in_one_piece(reply.request_id or identifier(answer.id))


class EventDecoder(StreamDecoder[ServerSentEvent]):
    """Turns the events of one stream into ours; kinds of events that are not known are ignored.

    Args:
        reply: What is answered.
    """

    def __init__(self, reply: Reply) -> None:
        super().__init__()
        self._reply = reply
        self._show = reply.request.shows_thinking
        self._writer = CandidateWriter(0, self.batch)
        self._call: CallWriter | None = None
        self._thinks = ""
        """What thinking is open: `thinking`, `plan`, or none."""
        self._hidden = HeldText(self.batch.extent)
        self._said: int | None = None
        """The last part of text."""
        self._texts: dict[int | None, int] = {}
        """The parts of text by the numbers of their content."""
        self._thoughts: dict[str, int] = {}
        """The parts of thinking by what they are."""
        self._finish = ""
        self._usage: Any = None

    @property
    def output_started(self) -> bool:
        """Whether any output has come."""
        return self._writer.started

    def read(self, frame: ServerSentEvent) -> None:
        """Takes one event."""
        if frame.data == _DONE:
            return
        event = decode(frame.data, EVENT)
        kind = event.type or frame.event
        delta = event.delta
        if kind == "message-end" and delta is not None:
            self.finish(delta.finish_reason or "", delta.usage)
        elif delta is not None and delta.message is not None:
            self._take(kind, delta.message, event.index)
            if event.logprobs is not None:
                self.take_logprobs((event.logprobs,))
        elif kind in {"content-end", "tool-call-end"}:
            self._leave()
        elif isinstance(event.message, str) or kind == "error":
            raise self._reply.failed(frame.data)

    def take_message(self, message: Message) -> None:
        """Takes a whole message."""
        if message.tool_plan:
            self._think("plan", message.tool_plan)
        for index, content in enumerate(_entries(message.content)):
            self._leave()
            self._say(content, index)
        for call in _entries(message.tool_calls):
            self._open(call)
        self._cite(message.citations)

    def take_logprobs(self, pieces: Iterable[Logprobs]) -> None:
        """Takes the log probabilities of what was written last."""
        if not self._thinks or self._show:  # thinking that nobody sees has none to be seen
            self._writer.annotate(logprobs=read_logprobs(pieces))

    def finish(self, raw: str, usage: Any) -> None:
        """Takes the end of the message."""
        self._finish = raw
        self._usage = usage
        self.done = True

    def end(self) -> None:
        """Ends the stream; raises unless the message has ended well."""
        if not self.done:
            raise self.broken()
        usage = read_usage(self._usage)
        try:
            reason = finish_reason(self._finish, output=self._writer.started)
        except ProxyError as error:
            error.usage = usage
            raise
        self._leave()
        self._writer.finish(reason, self._finish)
        self.batch.add(UpstreamEnd(usage))

    def _take(self, kind: str, message: Message, index: int | None) -> None:
        if kind in {"content-delta", "content-start"}:
            if kind == "content-start":
                self._leave()
            for content in _entries(message.content):
                self._say(content, index)
        elif kind == "tool-plan-delta":
            self._think("plan", message.tool_plan or "")
        elif kind == "tool-call-start":
            for call in _entries(message.tool_calls):
                self._open(call)
        elif kind == "tool-call-delta":
            for call in _entries(message.tool_calls):
                self._add_arguments(call)
        elif kind == "citation-start":
            self._cite(message.citations)

    def _say(self, content: Content, index: int | None) -> None:
        if content.thinking:
            self._think("thinking", content.thinking)
        if content.text:
            self._end_thinking()
            self._writer.say(TextDelta, content.text)
            self._said = self._texts[index] = self._writer.last_part

    def _think(self, kind: str, text: str) -> None:
        if not text:
            return
        if self._thinks != kind:
            self._end_thinking()
            self._thinks = kind
        if self._show:
            self._writer.say(ReasoningDelta, text)
            self._thoughts[kind] = self._writer.last_part
        else:
            self._hidden.add(text)

    def _open(self, call: ToolCall) -> None:
        self._leave()
        function = call.function
        name = (function.name if function is not None else None) or ""
        arguments = (function.arguments if function is not None else None) or ""
        self._call = self._writer.open_call(identifier(call.id) or self._reply.new_id(), name, arguments)

    def _add_arguments(self, call: ToolCall) -> None:
        if self._call is not None and call.function is not None:
            self._call.arguments(call.function.arguments or "")

    def _cite(self, raw: Any) -> None:
        """Adds sources, which may come when what cites them has ended, and what stands behind it has begun."""
        for entry in _entries(raw):
            citations = read_citations(entry)
            if citations:
                self._add_sources(entry, citations)

    def _add_sources(self, entry: dict[str, Any], citations: tuple[Citation, ...]) -> None:
        kind, index = entry.get("type"), entry.get("content_index")
        if isinstance(kind, str) and kind in _THOUGHTS:
            # Thinking that nobody sees has no sources to be seen.
            part = self._thoughts.get(_THOUGHTS[kind])
            if part is not None:
                self._writer.cite(part, citations, ReasoningDelta)
            return
        said = self._texts.get(index, self._said) if isinstance(index, int) else self._said
        if said is not None:
            self._writer.cite(said, citations)
        else:
            self._end_thinking()
            self._writer.annotate(citations=citations)

    def _leave(self) -> None:
        self._end_thinking()
        self._writer.leave()
        self._call = None

    def _end_thinking(self) -> None:
        kind, self._thinks = self._thinks, ""
        if not kind:
            return
        if self._show:
            self._writer.sign(ReasoningDelta, token(plan=kind == "plan"))
            self._writer.leave()
        else:
            self._writer.redact(token(plan=kind == "plan", hidden=self._hidden.take()))


def _thoughts(message: Message) -> str:
    """All that a message thinks, which stands before what it says."""
    return (message.tool_plan or "") + "".join(content.thinking or "" for content in _entries(message.content))


def _entries(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
