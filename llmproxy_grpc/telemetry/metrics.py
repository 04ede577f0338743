"""The metrics of the contract, as a CallObserver."""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from llmproxy_grpc import __version__
from llmproxy_grpc.calls import Attempt, Call, CallObserver, Outcome
from llmproxy_grpc.messages import Usage, is_currency
from llmproxy_grpc.telemetry.cells import Cells
from llmproxy_grpc.telemetry.families import Counter, Exposition, Families, Histogram

OTHER: Final = "other"
MOST_NAMES: Final = 200
MOST_CURRENCIES: Final = 16
SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800)
SHORT: Final = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1)
CIRCUIT_STATES: Final = ("closed", "half_open", "open")
GAPS: Final = (0.001, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)


class Names:
    """Closes a label's set of values: what is not known, or comes after so many others, is `other`."""

    def __init__(self, known: Callable[[str], bool], most: int = MOST_NAMES) -> None:
        self._known = known
        self._most = most
        self._seen: set[str] = set()

    def __call__(self, name: str) -> str:
        """The name as a label's value; empty stays empty."""
        if name in self._seen or not name:
            return name
        if len(self._seen) >= self._most or not self._known(name):
            return OTHER
        self._seen.add(name)
        return name


class Metrics(CallObserver):
    """Counts and times calls and attempts.

    Args:
        knows_model: Whether a model is configured or discovered, so that it may be a label's value.
        knows_provider: The same of a provider.
        families: Where the metrics are.
    """

    def __init__(
        self,
        knows_model: Callable[[str], bool],
        knows_provider: Callable[[str], bool],
        families: Families | None = None,
    ) -> None:
        self.families = families or Families(Cells())
        self._model = Names(knows_model)
        self._provider = Names(knows_provider)
        self._currency = Names(is_currency, MOST_CURRENCIES)
        self._gaps: dict[str, Histogram] = {}
        self._shown: frozenset[str] = frozenset()
        self._with_circuit: frozenset[str] = frozenset()
        self._define(self.families)

    def _define(self, families: Families) -> None:
        def counter(name: str, text: str, *labels: str) -> Callable[..., Counter]:
            return families.counter(f"llmproxy_{name}", text, *labels)

        def histogram(name: str, text: str, bounds: tuple[float, ...], *labels: str) -> Callable[..., Histogram]:
            return families.histogram(f"llmproxy_{name}", text, bounds, *labels)

        self._calls = counter("calls", "Calls that ended.", "method", "model", "code")
        self._duration = histogram("call_duration_seconds", "Duration of a call.", SECONDS, "method", "model")
        self._first_token = histogram(
            "time_to_first_token_seconds", "From an attempt's begin to its first output.", SECONDS, "model", "provider"
        )
        self._gap = histogram(
            "inter_token_seconds", "Between two outputs of a stream, as they arrive.", GAPS, "model", "provider"
        )
        self._overhead = histogram("overhead_seconds", "Time of a call in the proxy alone.", SHORT, "method")
        self._in_flight = families.gauge("llmproxy_calls_in_flight", "Calls in flight.", "method")
        self._attempts = counter("attempts", "Attempts that ended.", "provider", "outcome")
        self._tokens = counter("tokens", "Tokens used.", "model", "provider", "type")
        self._cost = counter("cost", "What tokens cost, in the currency's unit.", "model", "provider", "currency")
        # A worker that has not met a provider's trouble says that it serves: the one that has is right.
        self._provider_up = families.gauge(
            "llmproxy_provider_up", "Whether a provider serves.", "provider", across="min"
        )
        text = "The worst circuit of a provider's models: 1 for the state that it is in."
        self._circuits = families.gauge("llmproxy_circuit_state", text, "provider", "state", across="max")
        lag = "How late the event loop runs: the 99th percentile of the last ten seconds."
        self._loop_lag = families.gauge("llmproxy_event_loop_lag_seconds", lag, across="max")()
        self._tasks = families.gauge("llmproxy_event_loop_tasks", "Tasks of the event loop.")()
        self._records = counter("records", "Records of calls: accepted, stored or dropped.", "state")
        self._losses = counter("records_dropped", "Records dropped; of those damaged at least so many.", "reason")
        # All workers see the same spool.
        self._spool_bytes = families.gauge(
            "llmproxy_spool_bytes", "Size of the files of the spool of records.", across="max"
        )()
        self._exported = counter("export_bytes", "Bytes that exports sent.")()
        self._reloads = counter("config_reloads", "Reloads of the configuration.", "result")
        build = families.gauge("llmproxy_build_info", "Always 1; the version is the label.", "version", across="max")
        build(__version__).set(1)

    def render(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return Exposition(self.families.found()).render()

    def config_reloaded(self, result: str) -> None:
        """Counts a reload: applied, unchanged or rejected."""
        self._reloads(result).inc()

    def exported(self, size: int) -> None:
        """Counts bytes that an export sent."""
        self._exported.inc(size)

    def providers_up(self, serving: Mapping[str, bool]) -> None:
        """Sets whether each provider serves, by name; those that a reload took away are forgotten."""
        shown = {self._provider(name): up for name, up in serving.items()}
        for provider in self._shown - shown.keys():
            self._provider_up(provider).remove()
        for provider, up in shown.items():
            self._provider_up(provider).set(up)
        self._shown = frozenset(shown)

    def circuits(self, states: Mapping[str, str]) -> None:
        """Sets the worst circuit of each provider, by name."""
        shown = {self._provider(name): state for name, state in states.items()}
        for provider in self._with_circuit - shown.keys():
            for each in CIRCUIT_STATES:
                self._circuits(provider, each).remove()
        for provider, state in shown.items():
            for each in CIRCUIT_STATES:
                self._circuits(provider, each).set(each == state)
        self._with_circuit = frozenset(shown)

    def expect_records(self, states: Iterable[str], reasons: Iterable[str]) -> None:
        """Shows what may become of records: then `record` may be called by any thread, if by one at a time."""
        for state in states:
            self._records(state)
        for reason in reasons:
            self._losses(reason)

    def record(self, state: str, reason: str, count: int) -> None:
        """Counts records that have got so far, and, if they were lost, why."""
        self._records(state).inc(count)
        if reason:
            self._losses(reason).inc(count)

    def spooled(self, size: int) -> None:
        """Sets how many bytes wait in the spool."""
        self._spool_bytes.set(size)

    def loop_lag(self, seconds: float) -> None:
        """Sets how late the event loop runs."""
        self._loop_lag.set(seconds)

    def tasks(self, count: int) -> None:
        """Sets how many tasks there are."""
        self._tasks.set(count)

    def call_started(self, call: Call) -> None:
        """One more in flight."""
        self._in_flight(call.method).inc()

    def first_output(self, call: Call, seconds: float) -> None:
        """Times the first output."""
        labels = self._model(call.model), self._provider(call.provider)
        self._first_token(*labels).observe(seconds)
        # Found once a stream, not once a token.
        self._gaps[call.id] = self._gap(*labels)

    def output(self, call: Call, gap: float) -> None:
        """Times the gap before an output."""
        self._gaps[call.id].observe(gap)

    def attempt_ended(self, call: Call, attempt: Attempt) -> None:
        """Counts the attempt by outcome, its tokens and what they cost."""
        provider = self._provider(attempt.provider)
        outcome = "ok" if attempt.error is None else attempt.error.reason.lower()
        self._attempts(provider, outcome).inc()
        if attempt.usage is not None:
            self._count_usage(self._model(call.model), provider, attempt.usage)

    def call_ended(self, call: Call, outcome: Outcome) -> None:
        """Counts and times the call."""
        model = self._model(call.model)
        self._gaps.pop(call.id, None)
        self._in_flight(call.method).dec()
        self._calls(call.method, model, outcome.code).inc()
        self._duration(call.method, model).observe(outcome.duration)
        self._overhead(call.method).observe(max(0.0, outcome.duration - call.upstream_seconds))

    def _count_usage(self, model: str, provider: str, usage: Usage) -> None:
        counts = (
            ("input", usage.input_tokens),
            ("output", usage.output_tokens),
            ("cached", usage.cached_input_tokens),
            ("reasoning", usage.reasoning_tokens),
        )
        for kind, count in counts:
            if count > 0:
                self._tokens(model, provider, kind).inc(count)
        if usage.cost is not None and usage.cost.amount_nanos >= 0:  # a counter that falls would count as a restart
            self._cost(model, provider, self._currency(usage.cost.currency_code)).inc(usage.cost.amount_nanos / 1e9)
