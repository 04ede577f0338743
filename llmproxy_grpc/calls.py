"""One RPC while it runs: who calls, what was tried, how it ended; and what may watch it.

Times ending in `_at` are readings of the monotonic clock, in seconds.
"""

from collections.abc import Callable, Iterable
from contextvars import ContextVar
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Final, Self

from msgspec import Struct, field

from llmproxy_grpc.errors import ProxyError
from llmproxy_grpc.messages import Usage, Warning


class Criticality(IntEnum):
    """How much it matters that a call is answered when not all can be: the operator's word on a caller, not its own."""

    SHEDDABLE = 0
    SHEDDABLE_PLUS = 1
    CRITICAL = 2
    CRITICAL_PLUS = 3


class Scope(StrEnum):
    """What a caller may do beyond calling models."""

    EXPORT = "export"
    HEALTH = "health"
    """See how the providers are."""
    ADMIN = "admin"
    """Have the providers probed."""


class Caller(Struct, frozen=True):
    """Who calls, and whose data it is."""

    tenant: str = "default"
    key_id: str = ""
    scopes: frozenset[Scope] = frozenset(Scope)
    criticality: Criticality = Criticality.CRITICAL


ANONYMOUS = Caller()


class Attempt(Struct, frozen=True):
    """One finished try of one target; `error` is None if it succeeded, `latency` in seconds."""

    provider: str
    upstream_model: str
    latency: float
    error: ProxyError | None = None
    usage: Usage | None = None
    first_output: float | None = None
    """Seconds to the first output; None if none came."""


class Call(Struct):
    """One RPC: written by the interceptors and the router as it goes, read by the observers."""

    id: str
    """The record's id: a UUIDv7."""
    method: str
    request_id: str
    caller: Caller
    create_time: datetime
    started_at: float
    deadline_at: float
    """When the proxy answers at the latest: a little before the caller's own deadline."""
    ended_by: ProxyError | None = None
    """What the proxy itself ends it with, before its time: a drain."""
    previous_attempts: int = 0
    """How often the caller's library has tried before (grpc-previous-rpc-attempts)."""
    request_bytes: int = 0
    """Size of the request as it came, serialized."""
    hops: int = 0
    """How many proxies of this kind the call has passed before this one."""
    trace: tuple[tuple[str, str], ...] = ()
    """The trace that the call belongs to: `traceparent` and `tracestate`, as they came."""
    model: str = ""
    """The requested model; empty until the request is parsed."""
    provider: str = ""
    provider_kind: str = ""
    upstream_model: str = ""
    upstream_request_id: str = ""
    attempts: list[Attempt] = field(default_factory=list)
    warnings: list[Warning] = field(default_factory=list)
    first_output_at: float | None = None
    usage: Usage | None = None
    """What the last attempt used, as far as known; estimated if its provider did not say."""
    usage_before: Usage | None = None
    """What earlier attempts used whose output is the beginning of the answer."""
    upstream_seconds: float = 0.0
    """Time spent waiting for providers, for the overhead that is ours alone."""


STREAM: Final = "Stream"
"""The method whose answer comes event by event."""
HOPS_KEY: Final = "llmproxy-hops"
"""The metadata in which proxies tell each other how many of them a call has passed."""

current_call: Final[ContextVar[Call | None]] = ContextVar("current_call", default=None)
"""The call that the current task serves, set at the door alone.

For what goes along with a call to an upstream rather than into its request: the deadline, the ids, the trace. Those
are nobody's business between the door and the few providers that pass them on, so nobody between has to hand them over.
"""


class Outcome(Struct, frozen=True):
    """How a call ended: its gRPC code by name (`OK`, `UNAVAILABLE`), the error behind it, and its seconds."""

    code: str
    reason: str
    """The contract's reason, such as UPSTREAM_TIMEOUT; empty if the call is OK."""
    duration: float
    error: ProxyError | None = None


class CallObserver:
    """Something that watches calls: override what is of interest. It must return at once and never raise."""

    def call_started(self, call: Call) -> None:
        """A call was admitted to the interceptors."""

    def attempt_started(self, call: Call, provider: str, upstream_model: str) -> None:
        """A target is about to be tried."""

    def first_output(self, call: Call, seconds: float) -> None:
        """A stream's first output came, so long after its attempt began."""

    def output(self, call: Call, gap: float) -> None:
        """More output of a stream came, so many seconds after the output before."""

    def attempt_ended(self, call: Call, attempt: Attempt) -> None:
        """A try ended, well or badly, or because the caller left."""

    def call_ended(self, call: Call, outcome: Outcome) -> None:
        """A call ended; told exactly once for each that started."""


class Audience(Struct, frozen=True):
    """Who listens to what: of each event the methods of those observers who want to know of it, in their order.

    Most observers want to know of few events, and asking all of them of all costs every call a dozen empty calls.
    """

    call_started: tuple[Callable[[Call], None], ...]
    attempt_started: tuple[Callable[[Call, str, str], None], ...]
    first_output: tuple[Callable[[Call, float], None], ...]
    output: tuple[Callable[[Call, float], None], ...]
    attempt_ended: tuple[Callable[[Call, Attempt], None], ...]
    call_ended: tuple[Callable[[Call, Outcome], None], ...]

    @classmethod
    def of(cls, observers: Iterable[CallObserver]) -> Self:
        """The audience that some observers are."""
        everybody = tuple(observers)
        return cls(
            **{
                event: tuple(
                    getattr(observer, event)
                    for observer in everybody
                    if getattr(type(observer), event) is not getattr(CallObserver, event)
                )
                for event in cls.__struct_fields__
            }
        )
