"""Answers of the Responses API: the events of a stream, of which servers leave out many, and whole ones."""

from typing import Final

from llmproxy_grpc.errors import UpstreamProtocolError
from llmproxy_grpc.messages import ProviderResponse, RefusalDelta, TextDelta, UpstreamEnd, Usage, UsageSoFar
from llmproxy_grpc.providers.chat_completions.usage import read_usage
from llmproxy_grpc.providers.http_chat import Reply
from llmproxy_grpc.providers.jsonio import decode
from llmproxy_grpc.providers.responses_api.answer import UNFINISHED, error_in, error_of, finish, metadata, status_of
from llmproxy_grpc.providers.responses_api.arguments import write_out
from llmproxy_grpc.providers.responses_api.custom_tools import names_of_custom_tools
from llmproxy_grpc.providers.responses_api.items import ItemWriter
from llmproxy_grpc.providers.responses_api.shapes import ANSWER, EVENT, LAST_EVENT, Ending, Event
from llmproxy_grpc.providers.scrubbing import identifier
from llmproxy_grpc.providers.sse import ServerSentEvent
from llmproxy_grpc.providers.streaming import StreamDecoder
from llmproxy_grpc.providers.tiers import is_other_tier

_LAST: Final = frozenset({"response.completed", "response.incomplete", "response.failed", "response.cancelled"})
_DONE: Final = b"[DONE]"
_ARGUMENTS: Final = frozenset({"response.function_call_arguments.delta", "response.custom_tool_call_input.delta"})


def read_answer(data: bytes, reply: Reply, *, limit: int | None = None) -> ProviderResponse:
    """Reads an answer in one piece; `limit` is for a server that does not say that it cut an answer there.

    Raises:
        UpstreamProtocolError: It is no answer.
        ProxyError: It is an error of the provider.
    """
    answer = decode(data, ANSWER)
    if answer.detail and answer.output is None:
        raise reply.failed(data)
    decoder = EventDecoder(reply, limit=limit)
    decoder.finish(answer)
    if answer.output is None or status_of(answer) in UNFINISHED:
        raise UpstreamProtocolError("The provider's answer is not whole.")
    write_out(answer.output, data)
    decoder.items.complete(answer.output)
    return decoder.in_one_piece(reply.request_id or identifier(answer.id))


class EventDecoder(StreamDecoder[ServerSentEvent]):
    """Turns the events of one stream into ours; kinds of events that are not known are ignored.

    Args:
        reply: What is answered.
        limit: Where the answer is cut, for a server that does not say so.
    """

    def __init__(self, reply: Reply, *, limit: int | None = None) -> None:
        super().__init__()
        self._reply = reply
        self._limit = limit
        self.items = ItemWriter(
            self.batch,
            new_id=reply.new_id,
            show_thinking=reply.request.shows_thinking,
            custom=names_of_custom_tools(reply.request),
        )
        self._ending: Ending | None = None

    @property
    def output_started(self) -> bool:
        """Whether any output has come."""
        return self.items.writer.started

    def read(self, frame: ServerSentEvent) -> None:
        """Takes one event."""
        if frame.data.strip() == _DONE:
            # Not of this API, but some gateways end every stream with it.
            return
        event = decode(frame.data, EVENT)
        kind = event.type if isinstance(event.type, str) else frame.event
        if kind == "response.output_text.delta":
            self.items.say(event, TextDelta)
        elif kind in _ARGUMENTS:
            self.items.argue(event)
        elif kind in _LAST and event.response is not None:
            self._end(kind, event.response, frame.data)
        elif kind == "error" or (event.error and (kind in _LAST or not kind.startswith("response."))):
            raise self._reply.failed(error_of(event))
        else:
            self._read_rare(kind, event, frame.data)

    def finish(self, ending: Ending) -> None:
        """Takes the response as it stands at its end.

        Raises:
            ProxyError: It failed.
        """
        error = error_in(ending)
        if error is None:
            self._ending = ending
            return
        usage = self._used(ending)
        if usage is not None:
            self.batch.add(UsageSoFar(usage))
        failed = self._reply.failed(error)
        failed.usage = usage
        raise failed

    def end(self) -> None:
        """Ends the stream; raises unless the response has ended."""
        ending = self._ending
        if ending is None:
            raise self.broken()
        writer, usage = self.items.writer, self._used(ending)
        cut = self._limit is not None and usage is not None and usage.output_tokens >= self._limit
        reason, raw = finish(ending, calls_tools=writer.calls_tools, refused=self.items.refused, cut=cut)
        writer.finish(reason, raw)
        self.batch.add(UpstreamEnd(usage, {**metadata(ending, self._reply.model), **self.items.told}))

    def _used(self, ending: Ending) -> Usage | None:
        return read_usage(ending.usage, at_other_rates=self.items.charged or is_other_tier(ending.service_tier))

    def _read_rare(self, kind: str, event: Event, data: bytes) -> None:
        if kind == "response.output_item.added":
            self.items.begin(event)
        elif kind == "response.output_item.done":
            write_out([event.item], data)
            self.items.end(event)
        elif kind == "response.refusal.delta":
            self.items.say(event, RefusalDelta)
        elif kind == "response.reasoning_summary_text.delta":
            self.items.think(event, summary=True)
        elif kind == "response.reasoning_text.delta":
            self.items.think(event, summary=False)
        elif kind == "response.output_text.annotation.added":
            self.items.cite(event)

    def _end(self, kind: str, ending: Ending, data: bytes) -> None:
        ending.status = kind.removeprefix("response.")
        self.finish(ending)
        if not self.items.whole:
            # Gateways that make up a stream of an answer in one piece may send nothing but its end.
            output = decode(data, LAST_EVENT).response.output or []
            write_out(output, data)
            self.items.complete(output)
        self.done = True
