"""A stream of Chat Completions, decoded chunk by chunk, and the rule for when it is complete."""

from collections.abc import Callable
from typing import Any

from llmproxy_grpc.errors import ProxyError
from llmproxy_grpc.messages import JsonObject, UpstreamEnd, Usage
from llmproxy_grpc.providers.chat_completions.candidate import CandidateDecoder
from llmproxy_grpc.providers.chat_completions.expectation import Expectation
from llmproxy_grpc.providers.chat_completions.filters import Filters, in_prompts
from llmproxy_grpc.providers.chat_completions.finish import BROKEN, failed
from llmproxy_grpc.providers.chat_completions.in_band import in_band_error
from llmproxy_grpc.providers.chat_completions.response import metadata
from llmproxy_grpc.providers.chat_completions.shapes import Answer, Choice, decode_answer
from llmproxy_grpc.providers.chat_completions.usage import read_usage
from llmproxy_grpc.providers.sse import ServerSentEvent
from llmproxy_grpc.providers.streaming import StreamDecoder
from llmproxy_grpc.providers.tiers import is_other_tier

_DONE = b"[DONE]"


class ChunkDecoder(StreamDecoder[ServerSentEvent]):
    """Turns the chunks of one stream into our events.

    `[DONE]` proves nothing, nor does its absence: a stream that ends is complete when every candidate that began has
    said why it ended. CandidateFinish waits for the end, since some servers send content or tool calls behind the
    reason.

    Args:
        expectation: What was asked for.
        new_id: Makes ids for tool calls that have none.
        failed: Makes the error that an event is.
    """

    def __init__(
        self, expectation: Expectation, *, new_id: Callable[[], str], failed: Callable[[bytes], ProxyError]
    ) -> None:
        super().__init__()
        self._expectation = expectation
        self._new_id = new_id
        self._error_in = failed
        self._candidates: dict[int, CandidateDecoder] = {}
        self._ended = 0
        self._usage: Any = None
        self._at_other_rates = False
        self._metadata: JsonObject | None = None
        self._filters: Filters | None = None
        self._in_prompts: JsonObject = {}

    @property
    def output_started(self) -> bool:
        """Whether any output has come."""
        return any(candidate.started for candidate in self._candidates.values())

    @property
    def complete(self) -> bool:
        """Whether every candidate that began has ended."""
        return 0 < len(self._candidates) == self._ended

    @property
    def only_tail_missing(self) -> bool:
        """Whether all candidates asked for have ended, so that nothing but usage and [DONE] may follow."""
        return self._expectation.candidates <= len(self._candidates) == self._ended

    def read(self, frame: ServerSentEvent) -> None:
        """Takes one chunk."""
        data = frame.data
        if data == _DONE or data.strip() == _DONE:
            self.done = True
        elif data:
            self._take(decode_answer(data), frame)

    def usage_so_far(self) -> Usage | None:
        """What the counts come to that have come last; None where they are not those of the whole answer."""
        if not self._expectation.is_counted(len(self._candidates)):
            return None
        return read_usage(self._usage, at_other_rates=self._at_other_rates)

    def end(self) -> None:
        """Ends the stream; raises unless it is complete."""
        if not self.complete:
            raise self.broken()
        for index in sorted(self._candidates):
            self._candidates[index].end()
        self.usage_is_news = False
        told = {**(self._metadata or {}), **self._in_prompts}
        if self._filters is not None:
            told |= self._filters.metadata()
        self.batch.add(UpstreamEnd(self.usage_so_far(), told))

    def _take(self, answer: Answer[Any], event: ServerSentEvent) -> None:
        choices = answer.choices
        if answer.error or event.event or not choices or choices[0].error:
            error = in_band_error(answer, event.data, event.event)
            if error is not None:
                raise self._error_in(error)
        if answer.prompt_filter_results is not None:
            self._in_prompts = in_prompts(answer.prompt_filter_results)
        if self._metadata is None:
            self._metadata = metadata(answer, self._expectation.model) if choices else None
        elif answer.citations or answer.search_results or self._has_other_tier(answer):
            # At some vendors the last chunk alone has them, at others each has all that were found so far; which tier
            # has served it is known at the end.
            self._metadata = {**self._metadata, **metadata(answer, self._expectation.model)}
        if choices:
            for choice in choices:
                self._take_choice(choice)
        if answer.service_tier is not None:
            self._at_other_rates = is_other_tier(answer.service_tier)
        usage = answer.reported_usage()
        if usage is not None:
            # Counts are cumulative where they come with every chunk: the last one holds.
            self._usage = usage
            self.usage_is_news = True

    def _has_other_tier(self, answer: Answer[Any]) -> bool:
        told = answer.service_tier
        return bool(told) and self._metadata is not None and self._metadata.get("service_tier") != told

    def _take_choice(self, choice: Choice[Any]) -> None:
        if choice.finish_reason == BROKEN:
            raise failed(output=self.output_started)
        index = choice.number(0)
        candidate = self._candidates.get(index)
        if candidate is None:
            if choice.delta is None and choice.message is None and not choice.finish_reason:
                # Azure reports its filters in choices that say nothing.
                return
            candidate = self._candidates[index] = CandidateDecoder(
                index,
                self.batch,
                new_id=self._new_id,
                expectation=self._expectation,
            )
        if choice.finish_reason and not candidate.raw_finish:
            self._ended += 1
        if choice.content_filter_results:
            self._filters = self._filters or Filters()
            self._filters.take(index, choice.content_filter_results)
        candidate.feed(choice)
