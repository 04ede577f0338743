"""What one process has learned of a target that others should know: that it is out, until when, and that it is back."""

from enum import Enum

from msgspec import Struct


class OutageKind(Enum):
    """Why a target is out."""

    OPEN = "open"
    """Its circuit is open."""
    CLOSED = "closed"
    """Its circuit is closed again."""
    RESTING = "resting"
    """The provider wants to be left alone: it limits our rate, is overloaded, or our quota is spent."""
    BENCHED = "benched"
    """The provider refuses the credential."""
    REINSTATED = "reinstated"
    """The provider takes the credential again."""
    EJECTED = "ejected"
    """It does much worse than the model's other targets."""


class Outage(Struct, frozen=True):
    """One such piece of news.

    Attributes:
        kind: What happened.
        provider: The provider.
        upstream_model: Its model; empty if it concerns all of them.
        credential: Which of its credentials, by the order of the configuration; -1 if it concerns all of them.
        until: When it is over, by the monotonic clock that all processes of one machine share.
        reason: Why it rests, as the contract names errors (`UPSTREAM_QUOTA_EXHAUSTED`); empty for other kinds.
    """

    kind: OutageKind
    provider: str
    upstream_model: str
    credential: int
    until: float
    reason: str = ""
