"""What another proxy answers, as the events and values of this one."""

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from llmproxy_grpc._gen.v1 import chat_pb2, model_pb2
from llmproxy_grpc.errors import UpstreamError, UpstreamProtocolError, UpstreamStreamBroken
from llmproxy_grpc.messages import (
    Capability,
    JsonObject,
    Modality,
    ProviderResponse,
    StreamEvent,
    UpstreamEnd,
    UpstreamStart,
    Warning,
)
from llmproxy_grpc.providers.provider import UpstreamModel
from llmproxy_grpc.wire import to_delta, to_finish, to_metadata, to_response, to_usage, to_warning, to_warnings

_CAPABILITIES = {capability.value: capability for capability in Capability}
_MODALITIES = {modality.value: modality for modality in Modality}


def answer_of(response: chat_pb2.ChatResponse) -> ProviderResponse:
    """Gives an answer; its id there is the provider's id for the request."""
    if not response.candidates:
        raise UpstreamProtocolError("The provider's answer has no candidates.")
    return replace(
        to_response(response), upstream_request_id=response.id, provider_metadata=_route_metadata(response.route)
    )


class StreamReading:
    """Reads the messages of one Stream: what each says, and at the end whether all of it came."""

    def __init__(self) -> None:
        self._end: chat_pb2.StreamEnd | None = None
        self._had_output = False
        self._warnings: set[Warning] = set()

    def end(self) -> Sequence[StreamEvent]:
        """Gives the end, once the status behind the last message was OK; raises unless all of it came."""
        if self._end is None:
            raise self._cut()
        return self._last(self._end)

    def events(self, message: chat_pb2.StreamResponse) -> Sequence[StreamEvent]:
        """Gives the events of a message; none for heartbeats and for what this version does not know."""
        kind = message.WhichOneof("event")
        if kind == "delta":
            self._had_output = True
            delta = to_delta(message.delta)
            return () if delta is None else (delta,)
        if kind == "finish":
            return (to_finish(message.finish),)
        if kind == "start":
            return (UpstreamStart(message.start.id), *self._news(to_warnings(message.start.warnings)))
        if kind == "warning":
            return self._news((to_warning(message.warning),))
        if kind == "end":
            self._end = message.end
        return ()

    def _last(self, end: chat_pb2.StreamEnd) -> Sequence[StreamEvent]:
        usage = to_usage(end.usage) if end.HasField("usage") else None
        metadata = to_metadata(end.provider_metadata)
        return (*self._news(to_warnings(end.warnings)), UpstreamEnd(usage, _route_metadata(end.route), metadata))

    def _news(self, warnings: Iterable[Warning]) -> Sequence[Warning]:
        """The warnings that were not told yet: the end repeats them all."""
        news = [warning for warning in warnings if warning not in self._warnings]
        self._warnings.update(news)
        return news

    def _cut(self) -> UpstreamError:
        if self._had_output:
            return UpstreamStreamBroken("The provider's stream ended without its end event.")
        return UpstreamProtocolError("The provider's stream ended without any output.")


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
    found = {name: getattr(route, name) for name in names if getattr(route, name)}
    return {"route": found} if found else {}
