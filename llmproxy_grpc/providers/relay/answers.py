"""What another proxy answers, as the events and values of this one."""

from collections.abc import Iterable, Sequence
from typing import Final

from msgspec.structs import replace

from llmproxy_grpc._gen.v1 import chat_pb2, embed_pb2, model_pb2
from llmproxy_grpc.errors import UpstreamError, UpstreamProtocolError, UpstreamStreamBroken
from llmproxy_grpc.messages import (
    CandidateFinish,
    Capability,
    Delta,
    EmbedResponse,
    JsonObject,
    Modality,
    Part,
    PartDelta,
    ProviderResponse,
    StreamEvent,
    ToolCallDelta,
    ToolCallPart,
    UpstreamEnd,
    UpstreamStart,
    Warning,
)
from llmproxy_grpc.providers.extent import MOST_CANDIDATES, Extent, check_answer
from llmproxy_grpc.providers.provider import UpstreamModel
from llmproxy_grpc.providers.scrubbing import identifier, one_line
from llmproxy_grpc.providers.vectors import read_vectors
from llmproxy_grpc.wire import to_delta, to_embed_response, to_finish, to_metadata, to_response, to_usage, to_warnings
from llmproxy_grpc.wire.scalars import packed_floats

MOST_WARNINGS: Final = 256
"""Of one answer; those behind them are left out."""
MOST_PARTS: Final = 10_000
"""Of one candidate: a higher number is no part's."""
LONGEST_WORD: Final = 256
LONGEST_MESSAGE: Final = 1024
"""Bytes of a code, a path or a name, and of a warning's words."""

_CAPABILITIES = {capability.value: capability for capability in Capability}
_MODALITIES = {modality.value: modality for modality in Modality}


def answer_of(response: chat_pb2.ChatResponse) -> ProviderResponse:
    """Gives an answer; its id there is the provider's id for the request.

    Raises:
        UpstreamProtocolError: It says nothing, or too much.
    """
    if not response.candidates:
        raise UpstreamProtocolError("The provider's answer has no candidates.")
    told = warnings_of(response.warnings)
    response.ClearField("warnings")
    answer = replace(
        to_response(response),
        upstream_request_id=identifier(response.id),
        provider_metadata=_route_metadata(response.route),
        warnings=told,
    )
    check_answer(answer)
    return answer


def vectors_of(response: embed_pb2.EmbedResponse, *, count: int, dimensions: int | None) -> EmbedResponse:
    """Gives so many vectors, of this length; UpstreamProtocolError if they are others, as `read_vectors`."""
    told = warnings_of(response.warnings)
    response.ClearField("warnings")
    answer = to_embed_response(response)
    vectors = read_vectors([packed_floats(vector) for vector in answer.vectors], inputs=count, dimensions=dimensions)
    return replace(answer, vectors=vectors, upstream_request_id=identifier(response.id), warnings=told)


def warnings_of(warnings: Sequence[chat_pb2.Warning]) -> tuple[Warning, ...]:
    """Gives the warnings of an answer, so many at most, each as words for one line."""
    return tuple(map(_in_lines, to_warnings(warnings[:MOST_WARNINGS])))


class StreamReading:
    """Reads the messages of one Stream: what each says, and at the end whether all of it came."""

    def __init__(self) -> None:
        self._end: chat_pb2.StreamEnd | None = None
        self._had_output = False
        self._extent = Extent()
        self._begun: dict[int, set[int]] = {}
        """The parts that have begun of each candidate."""
        self._finished: set[int] = set()
        self._warnings: set[Warning] = set()

    def end(self) -> Sequence[StreamEvent]:
        """Gives the end, once the status behind the last message was OK; raises unless all of it came."""
        if self._end is None:
            raise self._cut()
        if not self._finished or self._begun.keys() - self._finished:
            raise self._broken("The provider's stream ended without the end of a candidate.")
        return self._last(self._end)

    def events(self, message: chat_pb2.StreamResponse) -> Sequence[StreamEvent]:
        """Gives the events of a message; none for heartbeats and for what this version does not know.

        Raises:
            ProxyError: A part or a candidate has a number that none has, or goes on behind its end.
        """
        kind = message.WhichOneof("event")
        if kind == "delta":
            self._had_output = True
            delta = to_delta(message.delta)
            return () if delta is None else (self._more(delta),)
        if kind == "finish":
            return (self._finish(to_finish(message.finish)),)
        if kind == "start":
            upstream_id = identifier(message.start.id)
            return (UpstreamStart(upstream_id), *self._news(message.start.warnings))
        if kind == "warning":
            return self._news((message.warning,))
        if kind == "end":
            self._end = message.end
        return ()

    def _more(self, delta: Delta) -> Delta:
        if delta.part_index not in self._begun.get(delta.candidate_index, ()):
            self._begin(delta)
        if self._finished and delta.candidate_index in self._finished:
            raise self._broken("The provider's stream goes on behind the end of a candidate.")
        if delta.logprobs or delta.citations:
            self._extent.annotate(delta.logprobs, delta.citations)
        if isinstance(delta, PartDelta):
            self._whole(delta.part)
        return delta

    def _begin(self, delta: Delta) -> None:
        """Notes a part, and maybe a candidate, that are new."""
        self._check_place(delta.candidate_index, delta.part_index)
        if delta.candidate_index not in self._begun:
            self._extent.candidate()
        self._begun.setdefault(delta.candidate_index, set()).add(delta.part_index)
        if isinstance(delta, ToolCallDelta):
            self._extent.tool_call()
        if not isinstance(delta, PartDelta):
            self._extent.part()

    def _whole(self, part: Part) -> None:
        """Counts a part that comes whole, however often it comes."""
        self._extent.part()
        self._extent.annotate((), part.citations)
        if isinstance(part, ToolCallPart):
            self._extent.tool_call()

    def _finish(self, finish: CandidateFinish) -> CandidateFinish:
        self._check_place(finish.candidate_index, 0)
        if finish.candidate_index in self._finished:
            raise self._broken("The provider's stream ends a candidate twice.")
        self._finished.add(finish.candidate_index)
        return finish

    def _check_place(self, candidate_index: int, part_index: int) -> None:
        if not (0 <= candidate_index < MOST_CANDIDATES and 0 <= part_index < MOST_PARTS):
            raise self._broken("The provider's stream numbers its parts as none can be numbered.")

    def _last(self, end: chat_pb2.StreamEnd) -> Sequence[StreamEvent]:
        usage = to_usage(end.usage) if end.HasField("usage") else None
        metadata = to_metadata(end.provider_metadata)
        return (*self._news(end.warnings), UpstreamEnd(usage, _route_metadata(end.route), metadata))

    def _news(self, warnings: Sequence[chat_pb2.Warning]) -> Sequence[Warning]:
        """The warnings that were not told yet: the end repeats them all."""
        if not warnings:
            return ()
        told = dict.fromkeys(warnings_of(warnings))
        news = [warning for warning in told if warning not in self._warnings]
        news = news[: MOST_WARNINGS - len(self._warnings)]
        self._warnings.update(news)
        return news

    def _cut(self) -> UpstreamError:
        if self._had_output:
            return UpstreamStreamBroken("The provider's stream ended without its end event.")
        return UpstreamProtocolError("The provider's stream ended without any output.")

    def _broken(self, message: str) -> UpstreamError:
        return UpstreamStreamBroken(message) if self._had_output else UpstreamProtocolError(message)


def model_of(model: model_pb2.Model) -> UpstreamModel:
    """Gives a listed model; a list that is empty says nothing."""
    return UpstreamModel(
        name=model.id,
        max_input_tokens=max(0, model.max_input_tokens),
        max_output_tokens=max(0, model.max_output_tokens),
        capabilities=frozenset(_CAPABILITIES[each] for each in model.capabilities if each in _CAPABILITIES) or None,
        input_modalities=_modalities(model.input_modalities),
        output_modalities=_modalities(model.output_modalities),
    )


def _modalities(numbers: Iterable[int]) -> frozenset[Modality] | None:
    return frozenset(_MODALITIES[number] for number in numbers if number in _MODALITIES) or None


def _route_metadata(route: chat_pb2.Route) -> JsonObject:
    """Who answered behind the other proxy."""
    names = ("provider", "upstream_model", "upstream_request_id")
    found = {name: one_line(getattr(route, name), limit=LONGEST_WORD) for name in names if getattr(route, name)}
    return {"route": found} if found else {}


def _in_lines(warning: Warning) -> Warning:
    return Warning(
        one_line(warning.code, limit=LONGEST_WORD),
        one_line(warning.field, limit=LONGEST_WORD),
        one_line(warning.message, limit=LONGEST_MESSAGE),
    )
