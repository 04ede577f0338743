"""Answers requests: finds what may answer, and tries one target after the other until one does."""

from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import aclosing, contextmanager
from typing import Final, NoReturn

from llmproxy_grpc.calls import Attempt, Call, CallObserver
from llmproxy_grpc.config.schema import TimeoutsConfig
from llmproxy_grpc.errors import DeadlineExceeded, InternalError, ProxyError, ProxyOverloaded, UpstreamRateLimited
from llmproxy_grpc.messages import ChatRequest, ProviderResponse, StreamEvent
from llmproxy_grpc.providers.provider import Provider
from llmproxy_grpc.routing.attempt import Trying
from llmproxy_grpc.routing.candidates import Candidate, candidates
from llmproxy_grpc.routing.catalog import Catalog

SHORTEST_ATTEMPT: Final = 0.2
"""Seconds that must be left for another target: with less, the failure at hand says more than a deadline would."""


class Router:
    """Sends each request to a target that answers it, and tells the observers of every attempt.

    Args:
        catalog: Which models there are.
        providers: Every provider by name.
        kinds: What `provider_options` may be keyed by: every kind and vendor that this version knows.
        timeouts: How long to wait for a provider.
        max_attempts: Most attempts of one call.
        in_flight_limits: Most attempts in flight, by provider name; without one there is no limit.
        observers: Told of every attempt.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        *,
        catalog: Catalog,
        providers: Mapping[str, Provider],
        kinds: AbstractSet[str],
        timeouts: TimeoutsConfig,
        max_attempts: int,
        in_flight_limits: Mapping[str, int],
        observers: Sequence[CallObserver],
        clock: Callable[[], float],
    ) -> None:
        self._catalog = catalog
        self._providers = providers
        self._kinds = kinds
        self._timeouts = timeouts
        self._max_attempts = max_attempts
        self._limits = in_flight_limits
        self._in_flight = dict.fromkeys(providers, 0)
        self._observers = tuple(observers)
        self._clock = clock

    async def chat(self, call: Call, request: ChatRequest) -> ProviderResponse:
        """Answers in one piece; `call` then says how it came about.

        Raises:
            ProxyError: No target answered; the error of the attempt that says most.
        """
        for left, candidate in self._tries(request):
            self._check_deadline(call)
            try:
                with self._trying(call, candidate) as trying:
                    return await trying.chat(candidate.request, self._chat_limit(call, request, left))
            except ProxyError as error:
                self._give_up_or_go_on(error, left, call)
        raise InternalError("The router had nothing to try.")

    async def stream(self, call: Call, request: ChatRequest) -> AsyncGenerator[Sequence[StreamEvent], None]:
        """Answers in batches of events, UpstreamEnd last; fails over only before the first batch.

        Raises:
            ProxyError: As `chat`; once a batch has been yielded, the error of the attempt that broke.
        """
        routing = request.routing
        first_token = routing.first_token_timeout or self._timeouts.first_token
        idle = routing.idle_timeout or self._timeouts.idle
        for left, candidate in self._tries(request):
            self._check_deadline(call)
            try:
                with self._trying(call, candidate) as trying:
                    async with aclosing(trying.stream(candidate.request, first_token, idle)) as batches:
                        async for batch in batches:
                            if call.first_output_at is None:
                                call.first_output_at = self._clock()
                            yield batch
                    return
            except ProxyError as error:
                if call.first_output_at is not None:
                    raise
                self._give_up_or_go_on(error, left, call)

    def _tries(self, request: ChatRequest) -> Iterator[tuple[int, Candidate]]:
        """What to try, each with the number of tries left behind it."""
        allowed = min(request.routing.max_attempts or self._max_attempts, self._max_attempts)
        chosen = candidates(request, self._catalog.route, self._providers, self._kinds)[:allowed]
        for tried, candidate in enumerate(chosen, 1):
            yield len(chosen) - tried, candidate

    def _chat_limit(self, call: Call, request: ChatRequest, left: int) -> float | None:
        """Longest wait, in seconds, for a whole answer: as the caller says, else none for the last target.

        One with others behind it gets its share of the time that is left, so that a provider that stalls does not use
        up theirs; but never less than a stream would wait for its first output.
        """
        asked = request.routing.first_token_timeout
        if asked is not None or left == 0:
            return asked
        return max(self._timeouts.first_token, (call.deadline_at - self._clock()) / (left + 1))

    def _check_deadline(self, call: Call) -> None:
        """Sends nothing for a call that is over: its timer goes off only when the call next waits."""
        if self._clock() >= call.deadline_at:
            raise DeadlineExceeded("The deadline passed.")

    def _give_up_or_go_on(self, error: ProxyError, left: int, call: Call) -> None:
        """Raises if there is no point in another target, none is left, or no time for it."""
        if not error.failover:
            raise error
        if left == 0 or call.deadline_at - self._clock() < SHORTEST_ATTEMPT:
            _raise_decisive(call.attempts)

    @contextmanager
    def _trying(self, call: Call, candidate: Candidate) -> Iterator[Trying]:
        """One attempt that holds its place among the provider's attempts in flight."""
        provider = candidate.target.provider
        trying = Trying(call, candidate, self._observers, self._clock)
        with trying:
            limit = self._limits.get(provider)
            if limit is not None and self._in_flight[provider] >= limit:
                raise ProxyOverloaded(
                    f"The limit of {limit} calls in flight to provider {provider} is reached.",
                    retry_after=1.0,
                    metadata={"limit": str(limit), "provider": provider},
                )
            self._in_flight[provider] += 1
            warned = len(call.warnings)
            call.warnings.extend(candidate.warnings)
            try:
                yield trying
            except ProxyError:
                del call.warnings[warned:]
                raise
            finally:
                self._in_flight[provider] -= 1


def _raise_decisive(attempts: Sequence[Attempt]) -> NoReturn:
    """Raises the error that says most: the last after which the same call may succeed, else the last.

    A rate limit counts only where nothing else may pass: then alone waiting helps, as long as the shortest wait.
    """
    failed = [attempt.error for attempt in attempts if attempt.error is not None]
    limited = [error for error in failed if isinstance(error, UpstreamRateLimited)]
    passing = [error for error in failed if error.retryable and error not in limited]
    if passing:
        raise passing[-1]
    if not limited:
        raise failed[-1]
    waits = [error.retry_after for error in limited if error.retry_after is not None]
    limited[-1].retry_after = min(waits, default=None)
    raise limited[-1]
