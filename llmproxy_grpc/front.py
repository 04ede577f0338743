"""What callers meet: the methods of the service, and the interceptors before them, in their order."""

from collections.abc import Callable, Mapping, Sequence

from llmproxy_grpc.calls import STREAM, CallObserver
from llmproxy_grpc.current import Current
from llmproxy_grpc.records.keeping import Keeping
from llmproxy_grpc.server.chat import ChatServicer
from llmproxy_grpc.server.count_tokens import CountTokensServicer
from llmproxy_grpc.server.embed import EmbedServicer
from llmproxy_grpc.server.health import HealthServicer
from llmproxy_grpc.server.interceptors.admission import Admission
from llmproxy_grpc.server.interceptors.caller import caller
from llmproxy_grpc.server.interceptors.deadline import Deadline
from llmproxy_grpc.server.interceptors.errors import errors
from llmproxy_grpc.server.interceptors.observation import Observation
from llmproxy_grpc.server.interceptors.onward import onward
from llmproxy_grpc.server.interceptors.recording import recording
from llmproxy_grpc.server.interceptors.request_id import request_id
from llmproxy_grpc.server.models import ModelsServicer
from llmproxy_grpc.server.recorded import recorded_servicers
from llmproxy_grpc.server.rpc import Door, Servicer
from llmproxy_grpc.server.stream import StreamServicer


def front_door(current: Current, kept: Keeping | None, admission: Admission, watching: Sequence[CallObserver]) -> Door:
    """What every call passes, the outermost first: authentication, limits and tracing will have their lines here."""
    return Door(
        [
            errors,
            request_id,
            Observation(watching),
            onward,
            caller,
            recording(kept),
            Deadline(lambda: current.config().timeouts),
            admission,
        ]
    )


def bare_door() -> Door:
    """What calls of operators and of those who watch over us pass: they are neither bounded nor recorded."""
    return Door([errors, request_id])


def servicers(
    current: Current,
    kept: Keeping | None,
    admission: Admission,
    *,
    health: HealthServicer,
    exported: Callable[[int], None],
) -> Mapping[str, Servicer]:
    """The methods of the service, by their names.

    Args:
        current: What the configuration in force offers.
        kept: Where calls are recorded; None for nowhere.
        admission: Knows the streams in flight.
        health: Answers Health.
        exported: Told how many bytes exports send.
    """

    def write_timeout() -> float:
        return current.config().timeouts.write

    stream = StreamServicer(current.lend, active_streams=lambda: admission.running(STREAM), write_timeout=write_timeout)
    models = ModelsServicer(
        catalog=current.catalog,
        providers=current.provider_names,
        serving=current.provider_serves,
        describe=current.describe,
        price=current.price,
    )
    return {
        "Chat": ChatServicer(current.lend).chat,
        "Stream": stream.stream,
        "Embed": EmbedServicer(current.lend).embed,
        "CountTokens": CountTokensServicer(current.lend).count_tokens,
        "ListModels": models.list_models,
        "GetModel": models.get_model,
        "Health": health.health,
        **recorded_servicers(kept, write_timeout=write_timeout, exported=exported),
    }
