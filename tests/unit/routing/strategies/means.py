"""What tests of strategies go by: targets, vitals under a clock that stands still, and chance with a seed."""

from collections.abc import Sequence
from datetime import UTC, datetime
from random import Random
from typing import Any

from llmproxy_grpc.calls import ANONYMOUS, Attempt, Call
from llmproxy_grpc.errors import ProxyError
from llmproxy_grpc.messages import ChatRequest, GenerationConfig, Message, Role, TextPart, Usage
from llmproxy_grpc.pricing.prices import UNKNOWN, Quote
from llmproxy_grpc.routing.asked import Asked
from llmproxy_grpc.routing.catalog import Target
from llmproxy_grpc.routing.operations import CHAT
from llmproxy_grpc.routing.strategies.strategy import Means, Strategy
from llmproxy_grpc.routing.strategies.table import STRATEGIES
from llmproxy_grpc.routing.vitals import Vitals
from tests.fakes.clock import FakeClock

A, B, C, D = ABCD = tuple(Target(name, "m") for name in "abcd")


def a_request(text: str = "Hi", **fields: Any) -> ChatRequest:
    return ChatRequest("model", (Message(Role.USER, (TextPart(text=text),)),), **fields)


def asked(text: str = "Hi", most: int | None = None) -> Asked[Any, Any]:
    return Asked(CHAT, a_request(text, generation=GenerationConfig(max_output_tokens=most)))


def a_call(number: int, method: str = "Stream") -> Call:
    return Call(
        id=f"call-{number}",
        method=method,
        request_id="",
        caller=ANONYMOUS,
        create_time=datetime(2026, 1, 1, tzinfo=UTC),
        started_at=0.0,
        deadline_at=1e9,
    )


class Bench:
    """One route's strategy, and the calls that it sends."""

    def __init__(
        self,
        name: str,
        targets: Sequence[Target] = ABCD,
        weights: dict[Target, int] | None = None,
        *,
        quotes: dict[Target, Quote] | None = None,
        seed: int = 1,
    ) -> None:
        self.clock = FakeClock()
        self.vitals = Vitals(self.clock)
        self.vitals.watch(targets)
        self.targets = tuple(targets)
        self._calls = 0
        prices = {(target.provider, target.upstream_model): quote for target, quote in (quotes or {}).items()}
        means = Means(self.vitals, lambda *key: prices.get(key, UNKNOWN), Random(seed).random)
        self.strategy: Strategy = STRATEGIES[name](weights or {}, means)

    def order(self, *targets: Target, of: Asked[Any, Any] | None = None) -> list[Target]:
        return list(self.strategy(targets or self.targets, of or asked()))

    def begin(self, target: Target, method: str = "Stream") -> Call:
        """Begins an attempt."""
        self._calls += 1
        call = a_call(self._calls, method)
        call.provider, call.upstream_model = target.provider, target.upstream_model
        self.vitals.attempt_started(call, target.provider, target.upstream_model)
        return call

    def first_output(self, call: Call, seconds: float) -> None:
        """Its first output comes."""
        self.vitals.first_output(call, seconds)

    def end(
        self,
        call: Call,
        seconds: float,
        error: ProxyError | None = None,
        *,
        tokens: int | None = None,
        first: float | None = None,
    ) -> None:
        """It ends."""
        usage = None if tokens is None else Usage(1, tokens, 1 + tokens)
        self.vitals.attempt_ended(call, Attempt(call.provider, call.upstream_model, seconds, error, usage, first))

    def saw(self, target: Target, seconds: float, error: ProxyError | None = None) -> None:
        """A whole stream that took so long to its first output, or failed after so long."""
        call = self.begin(target)
        if error is None:
            self.first_output(call, seconds)
        self.end(call, seconds, error, first=None if error else seconds)
