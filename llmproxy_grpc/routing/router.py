"""Answers requests: finds what may answer, and tries one target after the other until one does."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Container, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, aclosing, asynccontextmanager, contextmanager
from functools import partial

from msgspec.structs import replace

from llmproxy_grpc.aside import aside_if_long
from llmproxy_grpc.calls import STREAM, Audience, Call, CallObserver
from llmproxy_grpc.config.schema import TimeoutsConfig
from llmproxy_grpc.errors import (
    CapabilityNotSupported,
    ModelNotFound,
    NoProviderAvailable,
    ProxyError,
    ProxyOverloaded,
    UpstreamError,
)
from llmproxy_grpc.messages import (
    ChatRequest,
    EmbedRequest,
    EmbedResponse,
    ProviderResponse,
    RoutingPolicy,
    StreamEvent,
    TokenCount,
    UsageSource,
)
from llmproxy_grpc.pricing.prices import Prices
from llmproxy_grpc.providers.features import Features
from llmproxy_grpc.providers.provider import Provider
from llmproxy_grpc.routing.admitted import Admits, admitted, out_of_service
from llmproxy_grpc.routing.attempt import Trying
from llmproxy_grpc.routing.candidate import Candidate, Choice
from llmproxy_grpc.routing.candidates import Chooser
from llmproxy_grpc.routing.catalog import Target
from llmproxy_grpc.routing.circuit import Permit
from llmproxy_grpc.routing.circuits import Circuits
from llmproxy_grpc.routing.concurrency import Concurrency
from llmproxy_grpc.routing.continuation import Spoken
from llmproxy_grpc.routing.hedging import Hedging, Race
from llmproxy_grpc.routing.operations import CHAT, COUNT, EMBED, Answer, Operation, Request
from llmproxy_grpc.routing.retry import Retries
from llmproxy_grpc.routing.tries import Tries, Turn
from llmproxy_grpc.routing.underway import Underway
from llmproxy_grpc.routing.usage import prompt_tokens, sum_of

Streaming = Trying[ChatRequest, ProviderResponse]

Limit = Callable[[Call, RoutingPolicy, int], float | None]
"""Longest wait, in seconds, for one target's whole answer, with so many targets behind it; None for any."""


class Router:
    """Sends each request to a target that answers it, and tells the observers of every attempt.

    Args:
        chooser: Lists what may answer a request.
        prices: What each target costs.
        timeouts: How long to wait for a provider.
        retries: Decides whether a failed attempt is followed by another.
        circuits: Says who may be called now.
        by_credential: Each provider that has several credentials, once by each.
        concurrency: Bounds the attempts in flight with each provider.
        hedging: Says which streams get a second attempt beside the first; None for no stream.
        continues: Whether a model's streams are gone on with by another attempt if they break off.
        observers: Told of every attempt.
        clock: Monotonic seconds.
        admits: Whether a provider gets calls at all: the operators' word.
        underway: Where its attempts are known while they run.
    """

    def __init__(
        self,
        *,
        chooser: Chooser,
        prices: Prices,
        timeouts: TimeoutsConfig,
        retries: Retries,
        circuits: Circuits,
        by_credential: Mapping[str, Sequence[Provider]],
        concurrency: Concurrency,
        hedging: Hedging | None,
        continues: Callable[[str], bool],
        observers: Sequence[CallObserver],
        clock: Callable[[], float],
        admits: Admits = lambda _provider: True,
        underway: Underway | None = None,
    ) -> None:
        self._chooser = chooser
        self._prices = prices
        self._timeouts = timeouts
        self._retries = retries
        self._circuits = circuits
        self._by_credential = by_credential
        self._concurrency = concurrency
        self._hedging = hedging
        self._continues = continues
        self._admits = admits
        self._underway = underway or Underway()
        self._audience = Audience.of(observers)
        self._clock = clock

    async def chat(self, call: Call, request: ChatRequest) -> ProviderResponse:
        """Answers in one piece; `call` then says how it came about.

        Raises:
            ProxyError: No target answered; the error of the attempt that says most.
        """
        return await self._answer(CHAT, call, request, self._limit)

    async def embed(self, call: Call, request: EmbedRequest) -> EmbedResponse:
        """Gives a vector for each input; for `call` and errors, as `chat`."""
        return await self._answer(EMBED, call, request, self._limit)

    async def count_tokens(self, call: Call, request: ChatRequest) -> TokenCount:
        """Counts the tokens of a prompt: by the first target that can, or by an estimate where none is able to.

        An estimate says that it is one, so trouble upstream is no reason to fail.

        Raises:
            ProxyError: The request itself is wrong: Chat would refuse it as well.
        """
        try:
            return TokenCount(await self._answer(COUNT, call, request, self._counting_limit), UsageSource.PROVIDER)
        except ModelNotFound:
            # Servers that do not know where they are asked to count say so as well.
            if not call.attempts:
                raise
        except (CapabilityNotSupported, UpstreamError, ProxyOverloaded, NoProviderAvailable):
            pass
        first = (await self._chooser.choose(CHAT, request)).candidates[0]
        call.warnings.extend(first.warnings)
        return TokenCount(await aside_if_long(prompt_tokens, first.request), UsageSource.ESTIMATE)

    async def stream(self, call: Call, request: ChatRequest) -> AsyncGenerator[Sequence[StreamEvent], None]:
        """Answers in batches of events, UpstreamEnd last; fails over only before the first batch.

        Raises:
            ProxyError: As `chat`; once a batch has been yielded, the error of the attempt that broke.
        """
        tries = await self._tries(CHAT, call, request)
        turn = tries.first()
        spoken = Spoken(request, call.warnings.append) if self._continues(request.model) else None
        while True:
            try:
                async with self._batches(call, tries, turn) as batches:
                    async for batch in batches:
                        if call.first_output_at is None:
                            call.first_output_at = self._clock()
                        events = batch if spoken is None else spoken.take(batch)
                        if events:
                            yield events
                    return
            except ProxyError as error:
                if call.first_output_at is None:
                    turn = await tries.after(error)
                elif spoken is None:
                    raise
                else:
                    tries, turn = await self._rest(call, tries, spoken, error)

    async def _rest(
        self, call: Call, tries: Tries[ChatRequest], spoken: Spoken, error: ProxyError
    ) -> tuple[Tries[ChatRequest], Turn[ChatRequest]]:
        """Who goes on with a stream that broke off; raises the error that it broke off with if nobody can."""
        broken = spoken.broken or error
        try:
            if spoken.resuming:  # the rest failed before it began
                turn = await tries.after(error)
                spoken.expect(_features(turn.candidate))
                return tries, turn
            broken = spoken.broken = error
            request, used = spoken.rest(), call.attempts[-1].usage
            if request is None:
                raise broken
            choice = await self._choice(CHAT, request)
            able = [candidate for candidate in choice.candidates if _features(candidate).prefill]
            if not able or not self._retries.pay(call.provider, error):
                raise broken
            rest = await self._tries(CHAT, call, request, Choice(able, _nothing))
            turn = rest.first(fresh=False)
            spoken.expect(_features(turn.candidate))
        except ProxyError:
            raise broken from None
        if used is not None:
            call.usage_before = sum_of(call.usage_before, used)
        return rest, turn

    @asynccontextmanager
    async def _batches(
        self, call: Call, tries: Tries[ChatRequest], turn: Turn[ChatRequest]
    ) -> AsyncIterator[AsyncGenerator[Sequence[StreamEvent], None]]:
        """What one attempt gives, or the faster of two."""
        routing = turn.candidate.request.routing
        first_token = routing.first_token_timeout or self._timeouts.first_token
        idle = routing.idle_timeout or self._timeouts.idle
        hurried = routing.first_token_timeout is not None or routing.idle_timeout is not None

        def attempting(call: Call, turn: Turn[ChatRequest]) -> AbstractContextManager[Streaming]:
            return self._trying(call, CHAT, turn, hurried=hurried)

        def opening(trying: Streaming, turn: Turn[ChatRequest]) -> AsyncGenerator[Sequence[StreamEvent], None]:
            return trying.stream(turn.candidate.request, first_token, idle)

        delay = None if self._hedging is None else self._hedging.delay(self._circuits.line(turn.candidate.target))
        if self._hedging is None or delay is None:
            with attempting(call, turn) as trying:
                async with aclosing(opening(trying, turn)) as batches:
                    yield batches
            return
        race = Race(call, tries, self._hedging, attempting=attempting, opening=opening)
        async with race.winner(turn, delay) as batches:
            yield batches

    async def _answer(
        self, operation: Operation[Request, Answer], call: Call, request: Request, limit: Limit
    ) -> Answer:
        """Tries one target after the other until one answers in one piece."""
        hurried = operation.hurried or request.routing.first_token_timeout is not None
        tries = await self._tries(operation, call, request)
        turn = tries.first()
        while True:
            try:
                with self._trying(call, operation, turn, hurried=hurried) as trying:
                    return await trying.answer(limit(call, request.routing, tries.left))
            except ProxyError as error:
                turn = await tries.after(error)

    async def _choice(self, operation: Operation[Request, Answer], request: Request) -> Choice[Request]:
        return admitted(await self._chooser.choose(operation, request, self._available), self._admits)

    async def _tries(
        self,
        operation: Operation[Request, Answer],
        call: Call,
        request: Request,
        choice: Choice[Request] | None = None,
    ) -> Tries[Request]:
        return Tries(
            call,
            await self._choice(operation, request) if choice is None else choice,
            self._retries,
            self._circuits,
            asked=request.routing.max_attempts,
            again=not operation.hurried,
        )

    def _available(self, target: Target) -> bool:
        return self._admits(target.provider) and self._circuits.welcome(target)

    def _limit(self, call: Call, routing: RoutingPolicy, left: int) -> float | None:
        """Longest wait, in seconds, for a whole answer: as the caller says, else none for the last target.

        One with others behind it gets its share of the time that is left, so that a provider that stalls does not use
        up theirs; but never less than a stream would wait for its first output.
        """
        asked = routing.first_token_timeout
        if asked is not None or left == 0:
            return asked
        return max(self._timeouts.first_token, (call.deadline_at - self._clock()) / (left + 1))

    def _counting_limit(self, call: Call, routing: RoutingPolicy, left: int) -> float:
        """The same for counting, which generates nothing: time must be left for an estimate."""
        share = (call.deadline_at - self._clock()) / (left + 2)
        return min(routing.first_token_timeout or self._timeouts.first_token, share)

    @contextmanager
    def _trying(
        self, call: Call, operation: Operation[Request, Answer], turn: Turn[Request], *, hurried: bool
    ) -> Iterator[Trying[Request, Answer]]:
        """One attempt that holds its place among the provider's attempts in flight, and ends by telling its circuit."""
        candidate, permit, streaming = turn.candidate, turn.permit, call.method == STREAM
        target = candidate.target
        quote = self._prices.quote(target.provider, target.upstream_model)
        if self._by_credential:
            candidate = self._credentialed(candidate, permit)
        trying = Trying(call, operation, candidate, self._audience, self._clock, quote=quote)
        if streaming:
            trying.succeeded = partial(self._circuits.first_output, target, permit)
        warned = len(call.warnings)
        placed = False
        self._underway.add(target.provider, trying)
        try:
            with trying:
                if not self._admits(target.provider):  # since the candidates were listed
                    raise out_of_service([target.provider])
                placed = self._concurrency.take(target.provider)
                call.warnings.extend(candidate.warnings)
                yield trying
        except ProxyError:
            if not trying.has_output:  # else callers may have been told of them
                del call.warnings[warned:]
            raise
        finally:
            self._underway.remove(target.provider, trying)
            if placed:
                self._concurrency.give_back(target.provider)
            self._circuits.ended(target, permit, trying.ended, streaming=streaming, hurried=hurried)

    def _credentialed(self, candidate: Candidate[Request], permit: Permit) -> Candidate[Request]:
        """The candidate as it uses the credential of a permit, where its provider has several."""
        by_credential = self._by_credential.get(candidate.target.provider)
        if by_credential is None:
            return candidate
        return replace(candidate, provider=by_credential[permit.circuit.credential.index])


async def _nothing(_error: ProxyError, _tried: Container[Target]) -> Sequence[Candidate[ChatRequest]]:
    return ()


def _features(candidate: Candidate[ChatRequest]) -> Features:
    return candidate.provider.features(candidate.target.upstream_model)
