"""One candidate of a stream: its deltas, as they come, turned into the parts of a message."""

from collections.abc import Callable
from typing import Any

from llmproxy_grpc.messages import CandidateFinish, ReasoningDelta, RefusalDelta, TextDelta, ToolCallDelta
from llmproxy_grpc.providers.batch import Batch, TextKind
from llmproxy_grpc.providers.chat_completions.content import citations, pieces, thinking
from llmproxy_grpc.providers.chat_completions.finish import finish
from llmproxy_grpc.providers.chat_completions.logprobs import read_logprobs
from llmproxy_grpc.providers.chat_completions.shapes import Choice, Content, ToolCall
from llmproxy_grpc.providers.chat_completions.tool_calls import OpenCall, OpenCalls, call_arguments, call_name
from llmproxy_grpc.providers.jsonio import SurrogateJoiner


class CandidateDecoder:
    """Follows one candidate: each change of the kind of content opens the next part, each tool call has its own.

    Args:
        index: The candidate's number.
        batch: Takes the events.
        new_id: Makes ids for tool calls that have none.
        show_thinking: Whether the caller wants to see the thinking.
    """

    def __init__(self, index: int, batch: Batch, *, new_id: Callable[[], str], show_thinking: bool) -> None:
        self._index = index
        self._batch = batch
        self._show_thinking = show_thinking
        self._calls = OpenCalls(new_id)
        self._parts = 0
        self._kind: TextKind | None = None
        self._part = 0
        self._joiner = SurrogateJoiner()
        self._refused = False
        self._matched: Any = None
        self.raw_finish = ""
        """The provider's word for why the candidate ended; empty until it has."""

    @property
    def started(self) -> bool:
        """Whether any output has come."""
        return self._parts > 0

    def feed(self, choice: Choice) -> None:
        """Takes one chunk's piece of the candidate."""
        delta = choice.delta
        if delta is None and not self.started:
            # Some servers end a stream with the whole message once more; it counts where no delta came.
            delta = choice.message
        if delta is not None:
            self._take(delta)
        if choice.logprobs is not None:
            self._take_logprobs(choice.logprobs)
        if choice.finish_reason:
            self.raw_finish = choice.finish_reason
            self._matched = choice.matched_stop if choice.stop_reason is None else choice.stop_reason

    def end(self) -> None:
        """Ends the candidate: gives what was held back, and its CandidateFinish."""
        self._leave()
        calls = self._calls.calls
        for call in calls:
            if call.part_index is None:
                self._open(call, "")
            self._add_arguments(call, call.joiner.flush())
        ended = finish(self.raw_finish, tool_calls=bool(calls), refused=self._refused, matched=self._matched)
        self._batch.add(CandidateFinish(self._index, ended.reason, ended.raw, ended.matched_stop_sequence))

    def _take(self, delta: Content) -> None:
        if delta.reasoning_content or delta.reasoning:
            self._think(thinking(delta))
        content = delta.content
        if isinstance(content, str):
            self._say(TextDelta, content)
        elif content:
            for is_thinking, text in pieces(content):
                if is_thinking:
                    self._think(text)
                else:
                    self._say(TextDelta, text)
        if delta.refusal:
            self._refused = True
            self._say(RefusalDelta, delta.refusal)
        if delta.tool_calls or delta.function_call is not None:
            for fragment in self._calls.fragments(delta):
                self._call(fragment)
        if delta.annotations is not None:
            self._cite(delta.annotations)

    def _think(self, text: str) -> None:
        if self._show_thinking:
            self._say(ReasoningDelta, text)

    def _say(self, kind: TextKind, text: str) -> None:
        if not text:
            return
        if self._kind is not kind:
            self._enter(kind)
        text = self._joiner.feed(text)
        if text:
            self._batch.text(kind, self._index, self._part, text)

    def _enter(self, kind: TextKind) -> None:
        self._leave()
        self._kind = kind
        self._part = self._next_part()

    def _leave(self) -> None:
        """Ends the text that is open; half a character that still waits for its other half has lost it."""
        kind = self._kind
        if kind is None:
            return
        orphan = self._joiner.flush()
        if orphan:
            self._batch.text(kind, self._index, self._part, orphan)
        self._kind = None

    def _next_part(self) -> int:
        self._parts += 1
        return self._parts - 1

    def _call(self, fragment: ToolCall) -> None:
        self._leave()
        call = self._calls.call_of(fragment)
        arguments = call.joiner.feed(call_arguments(fragment))
        if call.part_index is not None:
            self._add_arguments(call, arguments)
            return
        call.name = call_name(fragment)
        call.custom = call.custom or fragment.custom is not None
        if call.name:
            self._open(call, arguments)
        else:
            call.held += arguments

    def _open(self, call: OpenCall, arguments: str) -> None:
        call.part_index = self._next_part()
        self._batch.open_call(
            ToolCallDelta(
                candidate_index=self._index,
                part_index=call.part_index,
                id=call.id,
                name=call.name,
                arguments_json=call.held + arguments,
                continuity_token=call.token,
            )
        )

    def _add_arguments(self, call: OpenCall, arguments: str) -> None:
        if arguments and call.part_index is not None:
            self._batch.arguments(self._index, call.part_index, arguments)

    def _take_logprobs(self, raw: Any) -> None:
        logprobs = read_logprobs(raw)
        if logprobs:
            self._touch()
            self._batch.annotate(logprobs=logprobs)

    def _cite(self, annotations: Any) -> None:
        sources = citations(annotations)
        if sources:
            self._touch()
            self._batch.annotate(citations=sources)

    def _touch(self) -> None:
        """Makes the open part the one that was added to last, with nothing if need be."""
        calls = self._calls.calls
        if self._kind is None and calls and calls[-1].part_index is not None:
            self._batch.arguments(self._index, calls[-1].part_index, "")
            return
        if self._kind is None:
            self._enter(TextDelta)
        self._batch.text(self._kind or TextDelta, self._index, self._part, "")
