"""The error of a call none of whose targets may be called now: what is in the way, and how long."""

from collections.abc import Sequence

from llmproxy_grpc.errors import (
    CredentialsRejected,
    Fault,
    NoProviderAvailable,
    ProxyError,
    UpstreamOverloaded,
    UpstreamQuotaExhausted,
    UpstreamRateLimited,
)
from llmproxy_grpc.routing.catalog import Target
from llmproxy_grpc.routing.circuit import Line

SHORTEST_WAIT = 1.0


def refusal(targets: Sequence[Target], lines: Sequence[Line], now: float) -> ProxyError:
    """Makes the error.

    Args:
        targets: Whom nobody may call.
        lines: What is known of each.
        now: The time.
    """
    fault = Fault(provider=targets[0].provider, upstream_model=targets[0].upstream_model)
    wait = min(line.wait(now) for line in lines)
    circuits = [circuit for line in lines for circuit in line.circuits]
    if all(circuit.benched(now) for circuit in circuits):
        return CredentialsRejected("The provider has rejected the proxy's credential.", fault=fault)
    if any(line.rest(now) is None for line in lines):
        text = "No target of the model takes calls now."
        # Where nobody else can be called, one call a second is let through all the same: it may be the next.
        trial = min(line.wait_for_trial(now) for line in lines)
        return NoProviderAvailable(text, fault=fault, retry_after=max(trial, SHORTEST_WAIT))
    resting = {circuit.rests_for for circuit in circuits if now < circuit.rests_until}
    if resting == {UpstreamQuotaExhausted}:
        return UpstreamQuotaExhausted("The proxy's account at the provider has no quota or credit left.", fault=fault)
    if UpstreamRateLimited not in resting:
        return UpstreamOverloaded("Every provider of the model was overloaded just now.", fault=fault, retry_after=wait)
    return UpstreamRateLimited(
        "Every target of the model rests: its provider limits the proxy's rate.", fault=fault, retry_after=wait
    )
