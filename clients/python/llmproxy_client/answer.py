"""Puts the events of a stream together, and refuses those that do not make a whole answer."""

from llmproxy_client.errors import BrokenStream, StreamFailed
from llmproxy_client.parts import GrowingPart
from llmproxy_client.v1.chat_pb2 import (
    Candidate,
    CandidateFinish,
    ChatResponse,
    ContentDelta,
    Route,
    StreamEnd,
    StreamResponse,
    StreamStart,
)
from llmproxy_client.v1.chat_pb2 import (
    Warning as ProxyWarning,
)
from llmproxy_client.v1.content_pb2 import ROLE_ASSISTANT, Message


class Order:
    """Checks that events come as 0, 1, 2 … and that the last one is `end`."""

    def __init__(self) -> None:
        self._next = 0
        self._ended = False

    def check(self, event: StreamResponse) -> None:
        """Takes the next event. Raises BrokenStream if it is not the next, StreamFailed if it is an error."""
        if event.sequence != self._next:
            raise BrokenStream(f"event {event.sequence} came where {self._next} was due")
        if self._ended:
            raise BrokenStream("an event came after the end")
        self._next += 1
        kind = event.WhichOneof("event")
        if kind == "error":
            raise StreamFailed(event.error)
        self._ended = kind == "end"

    def require_end(self) -> None:
        """Raises BrokenStream unless the stream came to its end."""
        if not self._ended:
            raise BrokenStream(f"the stream stopped after {self._next} events, before its end")


class Answer:
    """An answer that grows with each event of its stream.

    `collect` does for most; feed an Answer yourself to show the stream as it comes, or to keep what came of a stream
    that failed.
    """

    def __init__(self) -> None:
        self._order = Order()
        self._start = StreamStart()
        self._end = StreamEnd()
        self._warnings: list[ProxyWarning] = []
        self._candidates: dict[int, _GrowingCandidate] = {}

    def add(self, event: StreamResponse) -> None:
        """Takes the next event. Raises BrokenStream if it does not fit, StreamFailed if it is an error."""
        self._order.check(event)
        match event.WhichOneof("event"):
            case "start":
                self._start = event.start
                self._warnings.extend(event.start.warnings)
            case "delta":
                self._candidate(event.delta.candidate_index).add(event.delta)
            case "finish":
                self._candidate(event.finish.candidate_index).finish = event.finish
            case "warning":
                self._warnings.append(event.warning)
            case "end":
                self._end = event.end

    def response(self) -> ChatResponse:
        """The whole answer. Raises BrokenStream unless the stream came to its end."""
        self._order.require_end()
        if self._end.HasField("final_response"):
            return self._end.final_response
        return self.partial()

    def partial(self) -> ChatResponse:
        """What came so far."""
        start, end = self._start, self._end
        return ChatResponse(
            id=start.id,
            model=start.model,
            candidates=[candidate.built(index) for index, candidate in sorted(self._candidates.items())],
            usage=end.usage if end.HasField("usage") else None,
            create_time=start.create_time if start.HasField("create_time") else None,
            route=self._route(),
            warnings=[*end.warnings, *(warning for warning in self._warnings if warning not in end.warnings)],
            provider_metadata=end.provider_metadata,
        )

    def _route(self) -> Route | None:
        for told in (self._end, self._start):
            if told.HasField("route"):
                return told.route
        return None

    def _candidate(self, index: int) -> "_GrowingCandidate":
        return self._candidates.setdefault(index, _GrowingCandidate())


class _GrowingCandidate:
    def __init__(self) -> None:
        self.finish = CandidateFinish()
        self._parts: dict[int, GrowingPart] = {}
        self._logprobs: list[ContentDelta] = []

    def add(self, delta: ContentDelta) -> None:
        if delta.part_index not in self._parts:
            self._parts[delta.part_index] = GrowingPart()
        self._parts[delta.part_index].add(delta)
        if delta.logprobs:
            self._logprobs.append(delta)

    def built(self, index: int) -> Candidate:
        parts = [part.built() for _, part in sorted(self._parts.items())]
        return Candidate(
            index=index,
            message=Message(role=ROLE_ASSISTANT, parts=parts),
            finish_reason=self.finish.finish_reason,
            raw_finish_reason=self.finish.raw_finish_reason,
            matched_stop_sequence=self.finish.matched_stop_sequence,
            logprobs=[logprob for delta in self._logprobs for logprob in delta.logprobs],
        )


def text_of(event: StreamResponse, candidate: int = 0) -> str:
    """The text that the event adds to the candidate; empty if it adds none."""
    delta = event.delta
    return delta.text if delta.candidate_index == candidate else ""
