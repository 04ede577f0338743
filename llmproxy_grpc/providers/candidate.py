"""Writes one candidate of a stream: each change of the kind of content opens the next part, each call has its own."""

from collections.abc import Sequence

from llmproxy_grpc.messages import (
    CandidateFinish,
    Citation,
    FinishReason,
    Part,
    PartDelta,
    ReasoningDelta,
    TextDelta,
    TokenLogprob,
    ToolCallDelta,
)
from llmproxy_grpc.providers.batch import Batch, TextKind
from llmproxy_grpc.providers.extent import Extent
from llmproxy_grpc.providers.jsonio import SurrogateJoiner


class CallWriter:
    """One tool call of a stream, while its arguments come.

    Args:
        batch: Takes the events.
        candidate: Index of the candidate that calls.
        part_index: Index of the call among the candidate's parts.
    """

    __slots__ = ("_batch", "_candidate", "_joiner", "part_index")

    def __init__(self, batch: Batch, candidate: int, part_index: int) -> None:
        self._batch = batch
        self._candidate = candidate
        self._joiner = SurrogateJoiner()
        self.part_index = part_index

    def arguments(self, text: str) -> None:
        """Adds a fragment of the arguments, to the byte as the model wrote it."""
        text = self._joiner.feed(text)
        if text:
            self._batch.arguments(self._candidate, self.part_index, text)

    def end(self) -> None:
        """Ends the arguments; half a character that still waits for its other half has lost it."""
        orphan = self._joiner.flush()
        if orphan:
            self._batch.arguments(self._candidate, self.part_index, orphan)


class CandidateWriter:
    """Follows one candidate; whatever makes a stream hold too much raises UpstreamProtocolError.

    Args:
        index: The candidate's number.
        batch: Takes the events.
    """

    def __init__(self, index: int, batch: Batch) -> None:
        batch.extent.candidate()
        self.index = index
        self._batch = batch
        self._parts = 0
        self._kind: TextKind | None = None
        self._part = 0
        self._joiner = SurrogateJoiner()
        self._calls: list[CallWriter] = []
        self._said: tuple[TextKind, int] | None = None
        """The last part of text that was left."""
        self._early: list[TokenLogprob] = []
        """Log probabilities of what is not shown: they stand beside the next part."""

    @property
    def extent(self) -> Extent:
        """What the stream has held so far."""
        return self._batch.extent

    @property
    def started(self) -> bool:
        """Whether any output has come."""
        return self._parts > 0

    @property
    def last_part(self) -> int:
        """The number of the part that was opened last; -1 if none was."""
        return self._parts - 1

    @property
    def calls_tools(self) -> bool:
        """Whether it has called a tool."""
        return bool(self._calls)

    @property
    def thinks(self) -> bool:
        """Whether the open part is thinking."""
        return self._kind is ReasoningDelta

    def say(self, kind: TextKind, text: str) -> None:
        """Adds text of a kind: to the open part if it is of this kind, else to the next one."""
        if not text:
            return
        if self._kind is not kind:
            self.enter(kind)
        text = self._joiner.feed(text)
        if text:
            self._batch.text(kind, self.index, self._part, text)

    def summarize(self, text: str) -> None:
        """Adds text of a summary of the thinking."""
        self.say(ReasoningDelta, text)
        self._batch.mark_summary()

    def enter(self, kind: TextKind) -> None:
        """Opens the next part, for text of a kind."""
        self.leave()
        self._kind = kind
        self._part = self._next_part()
        if self._early:
            self._batch.text(kind, self.index, self._part, "")
            self._batch.carry(self._take_early())

    def reopen(self, kind: TextKind, part_index: int) -> None:
        """Opens a part of that kind again, for more of its text."""
        if self._kind is not kind or self._part != part_index:
            self.leave()
            self._kind, self._part = kind, part_index

    def leave(self) -> None:
        """Ends the part that is open: more text of the same kind opens the next one."""
        kind = self._kind
        if kind is None:
            return
        orphan = self._joiner.flush()
        if orphan:
            self._batch.text(kind, self.index, self._part, orphan)
        self._kind, self._said = None, (kind, self._part)

    def open_call(self, call_id: str, name: str, arguments: str = "", *, token: bytes = b"") -> CallWriter:
        """Opens a tool call."""
        self.leave()
        call = CallWriter(self._batch, self.index, self._next_part())
        self._calls.append(call)
        self._batch.open_call(
            ToolCallDelta(
                candidate_index=self.index,
                part_index=call.part_index,
                id=call_id,
                name=name,
                continuity_token=token,
            )
        )
        call.arguments(arguments)
        self._batch.carry(self._take_early())
        return call

    def add_part(self, part: Part) -> None:
        """Adds a whole part of a kind that does not come in pieces."""
        self.leave()
        self._batch.extent.annotate((), part.citations)
        index, early = self._next_part(), self._take_early()
        self._batch.add(PartDelta(candidate_index=self.index, part_index=index, logprobs=early, part=part))

    def redact(self, token: bytes) -> None:
        """Adds thinking that the provider hides: a part that has nothing but its continuity token."""
        self.leave()
        self._batch.add(
            ReasoningDelta(
                candidate_index=self.index,
                part_index=self._next_part(),
                text="",
                redacted=True,
                continuity_token=token,
                logprobs=self._take_early(),
            )
        )

    def sign(self, kind: TextKind, token: bytes) -> None:
        """Gives the open part its continuity token; opens one of a kind if none of that kind is open."""
        if self._kind is not kind:
            self.enter(kind)
        self._batch.add(kind(candidate_index=self.index, part_index=self._part, text="", continuity_token=token))

    def sign_part(self, part_index: int, token: bytes, kind: TextKind = ReasoningDelta) -> None:
        """Gives a part that was written before its continuity token: thinking, unless another kind is named."""
        self._batch.add(kind(candidate_index=self.index, part_index=part_index, text="", continuity_token=token))

    def annotate(self, *, logprobs: Sequence[TokenLogprob] = (), citations: Sequence[Citation] = ()) -> None:
        """Adds log probabilities and sources to what was written last; for sources a text is opened if nothing was."""
        if not logprobs and not citations:
            return
        if self._kind is None and not citations:
            self._measure(logprobs)
            return
        if self._kind is None:
            self.enter(TextDelta)
        self._batch.text(self._kind or TextDelta, self.index, self._part, "")
        self._batch.annotate(logprobs, citations)

    def cite(self, part_index: int, citations: Sequence[Citation], kind: TextKind = TextDelta) -> None:
        """Adds sources to a part that was written before, a text unless another kind is named."""
        self._batch.extent.annotate((), citations)
        self._batch.add(kind(candidate_index=self.index, part_index=part_index, text="", citations=tuple(citations)))

    def finish(self, reason: FinishReason, raw: str, matched_stop_sequence: str = "") -> None:
        """Ends the candidate."""
        self.leave()
        for call in self._calls:
            call.end()
        self._batch.add(CandidateFinish(self.index, reason, raw, matched_stop_sequence))

    def _measure(self, logprobs: Sequence[TokenLogprob]) -> None:
        """Adds log probabilities where no text is open: they alone are no reason to open one."""
        last_call = self._calls[-1].part_index if self._calls else -1
        if self._said is not None and self._said[1] > last_call:
            self._batch.text(self._said[0], self.index, self._said[1], "")
        elif self._calls:
            self._batch.arguments(self.index, last_call, "")
        else:
            self._batch.extent.annotate(logprobs, ())
            self._early += logprobs
            return
        self._batch.annotate(logprobs)

    def _take_early(self) -> tuple[TokenLogprob, ...]:
        early = tuple(self._early)
        self._early = []
        return early

    def _next_part(self) -> int:
        self._batch.extent.part()
        self._parts += 1
        return self._parts - 1
