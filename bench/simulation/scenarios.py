"""What goes wrong with one of four targets, half a minute after the start."""

from collections.abc import Mapping
from typing import Final

from bench.simulation.targets import HEALTHY, Fault
from llmproxy_grpc.errors import UpstreamRateLimited, UpstreamServerError

ONSET: Final = 30.0
"""When it begins, in seconds since the start."""
FLAP: Final = 5.0
"""Seconds for which a flapping target serves, and then fails."""

SCENARIOS: Final[Mapping[str, Fault]] = {
    "healthy": HEALTHY,
    "slow": Fault(slowness=lambda now: 10.0 if now >= ONSET else 1.0),
    "limited": Fault(error=lambda now: UpstreamRateLimited if now >= ONSET else None),
    "failing": Fault(error=lambda now: UpstreamServerError if now >= ONSET else None),
    "flapping": Fault(error=lambda now: UpstreamServerError if now >= ONSET and now // FLAP % 2 else None),
    "silent": Fault(silent=lambda now: now >= ONSET),
}
"""Nothing; ten times as slow; a 429 at once; a 500 at once; a 500 every other five seconds; never a word."""
