"""What the benchmark measures, and what the proxy should reach against the floor."""

import msgspec


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """A closed loop of calls: as soon as one ends the next begins."""

    name: str
    title: str
    model: str
    stream: bool
    tokens: int
    """Tokens of one answer."""
    calls: int
    """Calls of one round."""
    connections: int
    in_flight: int
    """Calls at a time on each connection."""
    rounds: int
    target: float
    """The most CPU that the proxy may use, as a multiple of the floor's."""

    @property
    def method(self) -> str:
        """The RPC's name."""
        return "Stream" if self.stream else "Chat"


class Limits(msgspec.Struct, frozen=True):
    """What a server may take that carries no load."""

    start_seconds: float = 1.5
    idle_mib: float = 100.0
    streams: int = 1000
    streams_mib: float = 60.0


LIMITS = Limits()

CHAT = Load(
    name="chat",
    title="Chat, 32 at a time",
    model="standin/answer",
    stream=False,
    tokens=16,
    calls=4000,
    connections=4,
    in_flight=8,
    rounds=7,
    target=1.85,
)
BURST = Load(
    name="burst",
    title="Stream, 64 tokens in one burst, 32 at a time",
    model="standin/burst-64",
    stream=True,
    tokens=64,
    calls=400,
    connections=4,
    in_flight=8,
    rounds=7,
    target=0.5,
)
PACED = Load(
    name="paced",
    title="Stream, 64 tokens 30 ms apart, 64 at a time",
    model="standin/paced-64-30ms",
    stream=True,
    tokens=64,
    calls=128,
    connections=4,
    in_flight=16,
    rounds=5,
    target=1.4,
)
STALL = Load(
    name="memory",
    title="Streams that wait",
    model="standin/stall",
    stream=True,
    tokens=1,
    calls=LIMITS.streams,
    connections=10,
    in_flight=100,
    rounds=1,
    target=1.0,
)

LOADS = (CHAT, BURST, PACED)


def shortened(load: Load) -> Load:
    """Gives the same load, smaller, for a quick look."""
    return msgspec.structs.replace(load, calls=max(load.calls // 4, load.connections * load.in_flight), rounds=2)
