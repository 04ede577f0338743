"""What a supervisor and its workers tell each other, each message a Struct with a tag."""

import pickle
from typing import Final, cast

import msgspec
from msgspec import Struct

from llmproxy_grpc.banner import Offer
from llmproxy_grpc.config.faults import ConfigFault
from llmproxy_grpc.config.schema import Config
from llmproxy_grpc.telemetry.families import Series
from llmproxy_grpc.workers.places import Places

BEAT: Final = 1.0
"""Seconds between two beats of a worker."""


class Shared(Struct, frozen=True, tag="shared"):
    """Something that every worker should know, for so many seconds; a later value of a key replaces the earlier one."""

    key: str
    value: bytes
    seconds: float


class Begin(Struct, frozen=True, tag="begin"):
    """The first word to a worker: who it is, where it listens, and the configuration, sealed."""

    number: int
    places: Places
    config: bytes
    shared: tuple[Shared, ...] = ()


class NewConfig(Struct, frozen=True, tag="new_config"):
    """Take another configuration, sealed, and say how it went."""

    config: bytes


class Drain(Struct, frozen=True, tag="drain"):
    """Take nothing new and end; with `notice` load balancers get the time to look elsewhere first."""

    notice: bool


class Leave(Struct, frozen=True, tag="leave"):
    """End such that no caller notices: another worker serves at the same addresses."""


class End(Struct, frozen=True, tag="end"):
    """End now."""


class Beat(Struct, frozen=True, tag="beat"):
    """The event loop runs; and whether new calls should come here."""

    ready: bool


class Serving(Struct, frozen=True, tag="serving"):
    """The worker serves."""

    offer: Offer


class Failed(Struct, frozen=True, tag="failed"):
    """The worker cannot start: faults of the configuration, or a text."""

    faults: tuple[ConfigFault, ...]
    text: str


class Reloaded(Struct, frozen=True, tag="reloaded"):
    """How a reload went: faults, or none."""

    faults: tuple[ConfigFault, ...]


class Counted(Struct, frozen=True, tag="counted"):
    """There is a new series of a metric in the worker's cells."""

    series: Series


FromSupervisor = Begin | NewConfig | Drain | Leave | End | Shared
FromWorker = Beat | Counted | Serving | Failed | Reloaded | Shared
Message = FromSupervisor | FromWorker

ENCODER: Final = msgspec.msgpack.Encoder()
DECODER: Final = msgspec.msgpack.Decoder(Message)


def seal(config: Config) -> bytes:
    """A configuration as bytes, its secrets as well: for the private socket between our own processes alone."""
    return pickle.dumps(config)


def unseal(sealed: bytes) -> Config:
    """What `seal` was given. The bytes must come from our own supervisor."""
    return cast(Config, pickle.loads(sealed))  # noqa: S301 - over an inherited socket, from the process that started us
