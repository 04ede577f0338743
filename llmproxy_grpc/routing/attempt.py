"""One try of one target: its time limits, what it used, and what the observers are told of it."""

import asyncio
import math
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Final, Generic, Self

from msgspec import structs

from llmproxy_grpc.calls import Attempt, Audience, Call
from llmproxy_grpc.errors import (
    CallerCancelled,
    DeadlineExceeded,
    Draining,
    Fault,
    InternalError,
    NoProviderAvailable,
    Outrun,
    ProxyError,
    UpstreamError,
    UpstreamProtocolError,
    UpstreamStreamBroken,
    UpstreamTimeout,
)
from llmproxy_grpc.messages import (
    ChatRequest,
    Delta,
    EmbedResponse,
    ProviderResponse,
    ReasoningDelta,
    RefusalDelta,
    StreamEvent,
    TextDelta,
    ToolCallDelta,
    UpstreamEnd,
    UpstreamStart,
    Usage,
    UsageSoFar,
    UsageSource,
    Warning,
)
from llmproxy_grpc.messages.sizes import text_size, tokens_in
from llmproxy_grpc.pricing.prices import UNKNOWN, Quote
from llmproxy_grpc.routing.candidate import Candidate
from llmproxy_grpc.routing.continuity import has_token, sealed_events
from llmproxy_grpc.routing.operations import Answer, Operation, Request
from llmproxy_grpc.routing.patience import Patience
from llmproxy_grpc.routing.usage import sum_of

EARLY: Final = 0.002
"""How early, in seconds, the timer of a deadline may go off: uvloop's are rounded to milliseconds."""
MAY_HAVE_USED: Final = (
    CallerCancelled,
    DeadlineExceeded,
    Draining,
    NoProviderAvailable,
    Outrun,
    UpstreamProtocolError,
    UpstreamStreamBroken,
    UpstreamTimeout,
)
"""The errors of an attempt that its provider may charge for, if it was asked."""


class Trying(Generic[Request, Answer]):
    """A try of one target while it runs. Use it as a context: leaving it tells the observers how it ended.

    Args:
        call: Whose attempt it is.
        operation: What is asked.
        candidate: Whom.
        audience: Told of its begin, its outputs and its end.
        clock: Monotonic seconds.
        quote: What the target costs.
    """

    def __init__(
        self,
        call: Call,
        operation: Operation[Request, Answer],
        candidate: Candidate[Request],
        audience: Audience,
        clock: Callable[[], float],
        *,
        quote: Quote = UNKNOWN,
    ) -> None:
        self._call = call
        self._operation = operation
        self._candidate = candidate
        self._quote = quote
        self._audience = audience
        self._clock = clock
        self._started_at = clock()
        self._patience = Patience()
        self._first_output: float | None = None
        self._last_output_at = self._started_at
        self._ended = False
        self._usage: Usage | None = None
        self._told_usage: Usage | None = None
        self._output_size = 0
        self._size_when_told = 0
        self._asked = False
        self._withdrawn: ProxyError | None = None
        self.succeeded: Callable[[float], None] | None = None
        """Told of a stream's first output, and how many seconds it took."""
        self.ended: Attempt
        """How it ended, once it has."""
        self.beaten = False
        """Whether it is closed because another attempt of the call was faster."""

    def __enter__(self) -> Self:
        """Begins: the call now belongs to this target."""
        target = self._candidate.target
        call = self._call
        call.provider, call.provider_kind = target.provider, self._candidate.provider.kind
        call.upstream_model, call.upstream_request_id = target.upstream_model, ""
        call.usage = call.usage_before
        for tell in self._audience.attempt_started:
            tell(call, target.provider, target.upstream_model)
        return self

    def __exit__(self, _kind: object, raised: BaseException | None, _trace: object) -> None:
        """Ends: completes the error with the target's name, and tells the observers."""
        self._patience.close()
        error = self._verdict(raised)
        if error is not None and isinstance(error.usage, Usage):
            self._told_usage, self._size_when_told = error.usage, self._output_size
        if self._asked and self._usage is None and (self._told_usage is not None or not _used_nothing(error)):
            self._usage = self._priced(self._estimate())
        self._call.usage = self._of_all()
        target = self._candidate.target
        attempt = self.ended = Attempt(
            target.provider,
            target.upstream_model,
            self._clock() - self._started_at,
            error,
            self._usage,
            self._first_output,
        )
        self._call.attempts.append(attempt)
        for tell in self._audience.attempt_ended:
            tell(self._call, attempt)

    @property
    def has_output(self) -> bool:
        """Whether any of a stream's output has come."""
        return self._first_output is not None

    def withdraw(self, error: ProxyError) -> None:
        """Ends it with this error: at once if it waits for its provider, else instead of the next wait."""
        self._withdrawn = error
        self._patience.give_up()

    def adopt(self, call: Call) -> None:
        """Goes on for the call itself, of which it had a copy."""
        copy, self._call = self._call, call
        call.provider, call.provider_kind = copy.provider, copy.provider_kind
        call.upstream_model, call.upstream_request_id = copy.upstream_model, copy.upstream_request_id
        call.usage = copy.usage
        call.warnings.extend(copy.warnings)
        call.upstream_seconds += copy.upstream_seconds

    async def answer(self, limit: float | None) -> Answer:
        """Gets the whole answer, within `limit` seconds if given."""
        began = self._clock()
        seconds = math.inf if limit is None else limit
        candidate = self._candidate
        self._asked = True
        try:
            self._patience.begin(began + seconds)
            return await self._operation.ask(candidate.request, candidate.provider, candidate.target, self._note)
        except asyncio.CancelledError:
            if not self._patience.ran_out():
                raise
            raise self._withdrawn or _too_slow("answer", "The provider did not answer", seconds) from None
        finally:
            self._patience.end()
            self._call.upstream_seconds += self._clock() - began

    async def stream(
        self, request: ChatRequest, first_token: float, idle: float
    ) -> AsyncGenerator[Sequence[StreamEvent], None]:
        """Yields batches of output, the end marker last; waits `first_token` seconds for the first, then `idle`."""
        self._asked = True
        async with aclosing(self._candidate.provider.stream(request, self._candidate.target.upstream_model)) as source:
            while True:
                batch = await self._next(source, first_token, idle)
                if batch is None:
                    break
                events = self._take(batch)
                if events:
                    yield events
                if self._ended:
                    return  # what a provider does behind its own end marker is of no interest
        raise self._cut()

    def _note(self, answer: ProviderResponse | EmbedResponse, usage: Usage) -> None:
        """Notes what an answer tells of the attempt, which may be one of several."""
        self._call.upstream_request_id = answer.upstream_request_id
        self._call.warnings.extend(answer.warnings)
        self._usage = sum_of(self._usage, self._quote.put_on(usage))

    async def _next(
        self, source: AsyncGenerator[Sequence[StreamEvent], None], first_token: float, idle: float
    ) -> Sequence[StreamEvent] | None:
        """The next batch, or None at the end; the limits count whole events, not bytes, and our waits alone."""
        if self._withdrawn is not None:
            raise self._withdrawn
        began = self._clock()
        waiting_for_first = self._first_output is None
        self._patience.begin(self._started_at + first_token if waiting_for_first else began + idle)
        try:
            return await anext(source, None)
        except asyncio.CancelledError:
            if not self._patience.ran_out():
                raise
            if self._withdrawn is not None:
                raise self._withdrawn from None
            if waiting_for_first:
                raise _too_slow("first_token", "The provider's first output did not come", first_token) from None
            raise _too_slow("idle", "The provider fell silent: no output came", idle) from None
        finally:
            self._patience.end()
            self._call.upstream_seconds += self._clock() - began

    def _take(self, batch: Sequence[StreamEvent]) -> Sequence[StreamEvent]:
        """Notes what a batch tells of the attempt; returns what is for the caller."""
        first = batch[0]
        if isinstance(first, UpstreamStart):
            self._call.upstream_request_id = first.upstream_request_id
            batch = batch[1:]
        asides = False
        tokens = False
        for event in batch:
            if type(event) is TextDelta:  # nearly always
                self._output_size += text_size(event.text)
                tokens = tokens or event.continuity_token != b""
            elif isinstance(event, Delta):
                self._output_size += _size(event)
                tokens = tokens or has_token(event)
            elif isinstance(event, UpstreamEnd):
                self._ended = True
                self._usage = self._priced(event.usage or self._estimate())
                self._call.usage = self._of_all()
            elif self._heard(event):
                asides = True
        if asides:
            # Before the first output a warning is none either: the start of the stream will tell it.
            unwanted = UsageSoFar if self._first_output is not None else (UsageSoFar, Warning)
            batch = [event for event in batch if not isinstance(event, unwanted)]
        if tokens:
            batch = sealed_events(batch, self._candidate.target)
        if batch:
            self._tell_output()
        return batch

    def _heard(self, event: StreamEvent) -> bool:
        """Notes what is said besides the answer; False if the event is part of that."""
        if isinstance(event, UsageSoFar):
            self._told_usage, self._size_when_told = event.usage, self._output_size
        elif isinstance(event, Warning):
            self._call.warnings.append(event)
        else:
            return False
        return True

    def _tell_output(self) -> None:
        now = self._clock()
        if self._first_output is None:
            self._first_output = now - self._started_at
            if self.succeeded is not None:
                self.succeeded(self._first_output)
            for tell in self._audience.first_output:
                tell(self._call, self._first_output)
        else:
            for tell in self._audience.output:
                tell(self._call, now - self._last_output_at)
        self._last_output_at = now

    def _estimate(self) -> Usage | None:
        """What the provider told so far, and an estimate of what came behind that."""
        told = self._told_usage
        if told is None:
            return self._operation.estimate(self._candidate.request, self._output_size)
        behind = self._output_size - self._size_when_told
        if not behind:
            return told
        more = tokens_in(behind)
        return structs.replace(
            told,
            output_tokens=told.output_tokens + more,
            total_tokens=told.total_tokens + more,
            cost=None,
            source=UsageSource.ESTIMATE,
        )

    def _of_all(self) -> Usage | None:
        """What the call used as far as it is answered: by this attempt, and by those that have begun the answer."""
        before = self._call.usage_before
        return self._usage if before is None else sum_of(self._usage, before)

    def _priced(self, usage: Usage | None) -> Usage | None:
        return None if usage is None else self._quote.put_on(usage)

    def _cut(self) -> UpstreamError:
        if self._first_output is None:
            return UpstreamProtocolError("The provider's stream ended without any output.")
        return UpstreamStreamBroken("The provider's stream ended without its end marker.")

    def _verdict(self, raised: BaseException | None) -> ProxyError | None:
        """The error of the attempt, with the name of its target."""
        if raised is None or self._ended:
            return None
        # A generator is closed when its reader was cancelled between two batches.
        if isinstance(raised, asyncio.CancelledError | GeneratorExit):
            if self.beaten:
                return Outrun("Another attempt was faster.")
            ended_by = self._call.ended_by
            if ended_by is not None:
                return type(ended_by)(ended_by.message)  # of its own: an error is completed for each attempt
            late = self._clock() >= self._call.deadline_at - EARLY
            return DeadlineExceeded("The deadline passed.") if late else CallerCancelled("The caller left.")
        if not isinstance(raised, ProxyError):
            return InternalError("The proxy failed.")
        target = self._candidate.target
        raised.fault = structs.replace(
            raised.fault or Fault(), provider=target.provider, upstream_model=target.upstream_model
        )
        return raised


def _size(event: Delta) -> int:
    match event:
        case TextDelta() | ReasoningDelta() | RefusalDelta():
            return text_size(event.text)
        case ToolCallDelta():
            return text_size(event.name) + text_size(event.arguments_json)
        case _:
            return 0


def _used_nothing(error: ProxyError | None) -> bool:
    """Whether the attempt certainly used nothing: the provider refused, or was not reached."""
    return error is not None and not isinstance(error, MAY_HAVE_USED)


def _too_slow(limit: str, what: str, seconds: float) -> UpstreamTimeout:
    return UpstreamTimeout(f"{what} within {seconds:.3g} s.", metadata={"limit": limit, "seconds": f"{seconds:.3g}"})
