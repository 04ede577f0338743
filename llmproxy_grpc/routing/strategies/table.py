"""Every strategy by the name that the configuration knows it by."""

from collections.abc import Mapping
from typing import Final

from llmproxy_grpc.routing.strategies.least_in_flight import least_in_flight
from llmproxy_grpc.routing.strategies.least_latency import least_latency
from llmproxy_grpc.routing.strategies.lowest_cost import lowest_cost
from llmproxy_grpc.routing.strategies.priority import priority
from llmproxy_grpc.routing.strategies.round_robin import round_robin
from llmproxy_grpc.routing.strategies.strategy import MakeStrategy
from llmproxy_grpc.routing.strategies.weighted import weighted

STRATEGIES: Final[Mapping[str, MakeStrategy]] = {
    "priority": priority,
    "weighted": weighted,
    "round_robin": round_robin,
    "least_latency": least_latency,
    "least_in_flight": least_in_flight,
    "lowest_cost": lowest_cost,
}

BY_VITALS: Final = frozenset({"least_latency", "least_in_flight"})
"""Those that go by how the targets do, which somebody must then watch."""
