"""Answers of the Responses API: a whole one, and the events of a stream, of which servers leave out many."""

from typing import Any, Final

from llmproxy_grpc.errors import ProxyError, UpstreamProtocolError
from llmproxy_grpc.messages import OpaquePart, ProviderResponse, ReasoningDelta, RefusalDelta, TextDelta, UpstreamEnd
from llmproxy_grpc.messages.collected import Collected
from llmproxy_grpc.providers.batch import TextKind
from llmproxy_grpc.providers.candidate import CallWriter, CandidateWriter
from llmproxy_grpc.providers.http_chat import Reply
from llmproxy_grpc.providers.jsonio import decode, joined
from llmproxy_grpc.providers.logprobs import read_positions
from llmproxy_grpc.providers.responses_api.answer import error_in, finish, metadata, read_annotation, read_usage
from llmproxy_grpc.providers.responses_api.history import CUSTOM_CALL
from llmproxy_grpc.providers.responses_api.reasoning import reasoning_text, reasoning_token
from llmproxy_grpc.providers.responses_api.shapes import ANSWER, EVENT, Answer, Event
from llmproxy_grpc.providers.scrubbing import identifier
from llmproxy_grpc.providers.sse import ServerSentEvent
from llmproxy_grpc.providers.streaming import StreamDecoder

_CALLS: Final = {"function_call": b"", "custom_tool_call": CUSTOM_CALL}
_ENDED: Final = frozenset({"response.completed", "response.incomplete", "response.failed", "response.cancelled"})


def read_answer(data: bytes, reply: Reply) -> ProviderResponse:
    """Reads an answer in one piece.

    Raises:
        UpstreamProtocolError: It is no answer.
        ProxyError: It is an error of the provider.
    """
    answer = decode(data, ANSWER)
    error = error_in(answer)
    if error is not None:
        raise reply.failed(error)
    if answer.output is None or not answer.status:
        raise UpstreamProtocolError("The provider's answer is not whole.")
    decoder = EventDecoder(reply)
    for index, item in enumerate(answer.output):
        decoder.take_item(item, index)
    decoder.finish(answer)
    decoder.end()
    collected = Collected()
    collected.take(decoder.take())
    return collected.response(reply.request_id or identifier(answer.id))


class _OpenItem:
    """An item of the output while it comes."""

    def __init__(self, call: CallWriter | None = None) -> None:
        self.call = call
        self.came = False
        """Whether any of it has come in pieces."""


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
        self._open: dict[int | str, _OpenItem] = {}
        self._refused = False
        self._last: Answer | None = None

    @property
    def output_started(self) -> bool:
        """Whether any output has come."""
        return self._writer.started

    def read(self, frame: ServerSentEvent) -> None:
        """Takes one event."""
        event = decode(frame.data, EVENT)
        kind = event.type or frame.event
        if kind == "response.output_text.delta":
            self._say(event, TextDelta)
        elif kind in {"response.function_call_arguments.delta", "response.custom_tool_call_input.delta"}:
            self._add_arguments(event)
        elif kind == "response.output_item.added":
            self._begin(event.item or {}, _key(event))
        elif kind == "response.output_item.done":
            self._end_item(event.item or {}, _key(event))
        elif kind in _ENDED and event.response is not None:
            self.finish(event.response)
        elif kind == "error" or (event.error and not kind.startswith("response.")):
            raise self._reply.failed(_wrapped(frame.data))
        else:
            self._read_rare(kind, event)

    def take_item(self, item: dict[str, Any], index: int) -> None:
        """Takes a whole item."""
        self._begin(item, index)
        self._end_item(item, index)

    def finish(self, answer: Answer) -> None:
        """Takes the response as it stands at its end.

        Raises:
            ProxyError: It failed.
        """
        error = error_in(answer)
        if error is not None:
            raise self._failed(error)
        self._last = answer
        self.done = True

    def end(self) -> None:
        """Ends the stream; raises unless the response has ended."""
        answer = self._last
        if answer is None:
            raise self.broken()
        reason, raw = finish(answer, calls_tools=self._writer.calls_tools, refused=self._refused)
        self._writer.finish(reason, raw)
        self.batch.add(UpstreamEnd(read_usage(answer.usage), metadata(answer, self._reply.model)))

    def _failed(self, error: bytes) -> ProxyError:
        return self._reply.failed(error)

    def _read_rare(self, kind: str, event: Event) -> None:
        if kind == "response.refusal.delta":
            self._refused = True
            self._say(event, RefusalDelta)
        elif kind in {"response.reasoning_summary_text.delta", "response.reasoning_text.delta"}:
            self._think(event, summary="summary" in kind)
        elif kind == "response.reasoning_summary_part.added" and event.summary_index and self._show:
            self._writer.summarize("\n\n")
        elif kind == "response.output_text.annotation.added":
            self._writer.annotate(citations=read_annotation(event.annotation))

    def _begin(self, item: dict[str, Any], key: int | str) -> None:
        self._writer.leave()
        token = _CALLS.get(str(item.get("type")))
        if token is None:
            self._open[key] = _OpenItem()
            return
        call_id = identifier(item.get("call_id")) or identifier(item.get("id")) or self._reply.new_id()
        self._open[key] = _OpenItem(self._writer.open_call(call_id, joined(_text(item, "name")), token=token))

    def _item(self, event: Event) -> _OpenItem:
        """The item that an event belongs to; some servers number them in deltas alone, or not at all."""
        item = self._open.get(_key(event))
        if item is None:
            item = next(reversed(self._open.values()), None)
        if item is None:
            item = self._open[_key(event)] = _OpenItem()
        return item

    def _say(self, event: Event, kind: TextKind) -> None:
        self._item(event).came = True
        self._writer.say(kind, event.delta or "")
        if event.logprobs:
            self._writer.annotate(logprobs=read_positions(event.logprobs))

    def _think(self, event: Event, *, summary: bool) -> None:
        if not self._show:
            return
        self._item(event).came = True
        if summary:
            self._writer.summarize(event.delta or "")
        else:
            self._writer.say(ReasoningDelta, event.delta or "")

    def _add_arguments(self, event: Event) -> None:
        item = self._item(event)
        if item.call is not None and event.delta:
            item.came = True
            item.call.arguments(event.delta)

    def _end_item(self, item: dict[str, Any], key: int | str) -> None:
        """Ends an item, and takes from it whole what did not come in pieces."""
        opened = self._open.get(key) or next(reversed(self._open.values()), _OpenItem())
        kind = item.get("type")
        if opened.call is not None:
            if not opened.came:
                opened.call.arguments(_text(item, "arguments") or _text(item, "input"))
        elif kind == "message":
            if not opened.came:
                self._say_whole(item)
        elif kind == "reasoning":
            self._end_thinking(item, came=opened.came)
        elif isinstance(kind, str):
            value = {name: value for name, value in item.items() if name != "type"}
            self._writer.add_part(OpaquePart(provider_kind="openai", type=kind, value=value))
        opened.came = True
        self._writer.leave()

    def _say_whole(self, item: dict[str, Any]) -> None:
        content = item.get("content")
        for part in content if isinstance(content, list) else ():
            if not isinstance(part, dict):
                continue
            if part.get("type") == "refusal":
                self._refused = True
                self._writer.say(RefusalDelta, _text(part, "refusal"))
                continue
            self._writer.say(TextDelta, _text(part, "text"))
            annotations = part.get("annotations")
            sources = [read_annotation(each) for each in annotations] if isinstance(annotations, list) else []
            citations = tuple(source for each in sources for source in each)
            self._writer.annotate(logprobs=read_positions(part.get("logprobs")), citations=citations)
            self._writer.leave()

    def _end_thinking(self, item: dict[str, Any], *, came: bool) -> None:
        text, summary = reasoning_text(item)
        if text and self._show and not came:
            came = True
            if summary:
                self._writer.summarize(text)
            else:
                self._writer.say(ReasoningDelta, text)
        token = reasoning_token(item)
        if not token:
            return
        if came:
            self._writer.sign(ReasoningDelta, token)
        else:
            self._writer.redact(token)


def _key(event: Event) -> int | str:
    return event.output_index if event.output_index is not None else event.item_id or ""


def _wrapped(data: bytes) -> bytes:
    """An error event in the shape of an error's body: its fields stand at the top, not below `error`."""
    return data if b'"error":{' in data.replace(b" ", b"") else b'{"error":' + data + b"}"


def _text(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name)
    return value if isinstance(value, str) else ""
