"""Collects the events of one read: neighbours that belong to the same part become one."""

from collections.abc import Sequence

from llmproxy_grpc.messages import (
    Citation,
    ReasoningDelta,
    RefusalDelta,
    StreamEvent,
    TextDelta,
    TokenLogprob,
    ToolCallDelta,
)
from llmproxy_grpc.providers.extent import Extent

TextKind = type[TextDelta] | type[ReasoningDelta] | type[RefusalDelta]


class Batch:
    """Events in the making; `take` gives them.

    Attributes:
        extent: What the stream has held so far.
    """

    __slots__ = (
        "_candidate",
        "_citations",
        "_events",
        "_first",
        "_kind",
        "_logprobs",
        "_part",
        "_summary",
        "_texts",
        "extent",
    )

    def __init__(self) -> None:
        self.extent = Extent()
        self._events: list[StreamEvent] = []
        self._kind: TextKind | type[ToolCallDelta] | None = None
        self._candidate = 0
        self._part = 0
        self._texts: list[str] = []
        self._logprobs: list[TokenLogprob] = []
        self._citations: list[Citation] = []
        self._first: ToolCallDelta | None = None
        self._summary = False

    def text(self, kind: TextKind, candidate: int, part: int, text: str) -> None:
        """Adds text of a part."""
        if kind is not self._kind or part != self._part or candidate != self._candidate:
            self._begin(kind, candidate, part)
        self._texts.append(text)

    def arguments(self, candidate: int, part: int, text: str) -> None:
        """Adds arguments of a tool call that is open already."""
        if self._kind is not ToolCallDelta or part != self._part or candidate != self._candidate:
            self._begin(ToolCallDelta, candidate, part)
        self._texts.append(text)

    def open_call(self, first: ToolCallDelta) -> None:
        """Adds the first fragment of a tool call; UpstreamProtocolError if the stream has too many."""
        self.extent.tool_call()
        self._begin(ToolCallDelta, first.candidate_index, first.part_index)
        self._first = first
        self._texts.append(first.arguments_json)

    def annotate(self, logprobs: Sequence[TokenLogprob] = (), citations: Sequence[Citation] = ()) -> None:
        """Adds log probabilities and sources to what was added last; there must be something.

        Raises:
            UpstreamProtocolError: The stream has too many.
        """
        self.extent.annotate(logprobs, citations)
        self._logprobs += logprobs
        self._citations += citations

    def carry(self, logprobs: Sequence[TokenLogprob]) -> None:
        """Adds log probabilities that the extent has counted already to what was added last."""
        self._logprobs += logprobs

    def mark_summary(self) -> None:
        """Says that the thinking that was added last is a summary."""
        self._summary = True

    def add(self, event: StreamEvent) -> None:
        """Adds an event that stays by itself."""
        self._end()
        self._events.append(event)

    def take(self) -> list[StreamEvent]:
        """Gives what was collected, and begins anew."""
        self._end()
        events = self._events
        self._events = []
        return events

    def _begin(self, kind: TextKind | type[ToolCallDelta], candidate: int, part: int) -> None:
        self._end()
        self._kind = kind
        self._candidate = candidate
        self._part = part

    def _end(self) -> None:
        kind = self._kind
        if kind is None:
            return
        text = self._texts[0] if len(self._texts) == 1 else "".join(self._texts)
        if issubclass(kind, ToolCallDelta):
            self._events.append(self._tool_call(text))
        elif self._summary and kind is ReasoningDelta:
            self._events.append(
                ReasoningDelta(
                    candidate_index=self._candidate,
                    part_index=self._part,
                    text=text,
                    summary=True,
                    logprobs=tuple(self._logprobs),
                )
            )
        else:
            self._events.append(
                kind(
                    candidate_index=self._candidate,
                    part_index=self._part,
                    text=text,
                    logprobs=tuple(self._logprobs),
                    citations=tuple(self._citations),
                )
            )
        self._reset()

    def _tool_call(self, arguments: str) -> ToolCallDelta:
        first = self._first
        return ToolCallDelta(
            candidate_index=self._candidate,
            part_index=self._part,
            id=first.id if first is not None else "",
            name=first.name if first is not None else "",
            arguments_json=arguments,
            continuity_token=first.continuity_token if first is not None else b"",
            logprobs=tuple(self._logprobs),
        )

    def _reset(self) -> None:
        self._kind = None
        self._texts = []
        self._first = None
        self._summary = False
        if self._logprobs:
            self._logprobs = []
        if self._citations:
            self._citations = []
