"""`python -m bench.simulation`: every strategy through every scenario, as a Markdown table."""

import argparse
import logging
import sys
from collections.abc import Sequence
from typing import Final

import structlog

from bench.simulation.run import FIXED, Load, Outcome, simulate, together
from bench.simulation.scenarios import SCENARIOS
from llmproxy_grpc.routing.strategies.table import STRATEGIES

HEADER: Final = (
    "| the odd one | strategy | its share, % | after 15 s, % | failed, % | attempts | p50, s | p95, s | p99, s |",
    "|---|---|---:|---:|---:|---:|---:|---:|---:|",
)


def line(scenario: str, strategy: str, outcome: Outcome) -> str:
    """Gives a row of the table."""
    shares = (outcome.odd_share, outcome.late_share, outcome.failed / outcome.calls)
    percents = [f"{100 * share:.1f}" for share in shares]
    quantiles = [f"{outcome.quantile(share):.2f}" if outcome.waits else "-" for share in (0.5, 0.95, 0.99)]
    cells = [scenario, f"`{strategy}`", *percents, f"{outcome.amplification:.2f}", *quantiles]
    return f"| {' | '.join(cells)} |"


def main(arguments: Sequence[str]) -> int:
    """Prints the table; gives the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.simulation", description=__doc__)
    parser.add_argument("--scenarios", nargs="+", choices=SCENARIOS, default=list(SCENARIOS), metavar="SCENARIO")
    parser.add_argument("--strategies", nargs="+", choices=[FIXED, *STRATEGIES], default=[FIXED, *STRATEGIES])
    parser.add_argument("--seeds", type=int, default=3, help="runs of each, with other chances (%(default)s)")
    parser.add_argument("--rate", type=float, default=50.0, help="calls a second (%(default)s)")
    parser.add_argument("--seconds", type=float, default=120.0, help="simulated (%(default)s)")
    parser.add_argument("--unary", type=float, default=0.0, help="share of calls that are no streams (%(default)s)")
    options = parser.parse_args(arguments)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    load = Load(options.rate, options.seconds, options.unary)
    print(*HEADER, sep="\n")
    for scenario in options.scenarios:
        for strategy in options.strategies:
            outcomes = [simulate(strategy, scenario, seed=seed, load=load) for seed in range(options.seeds)]
            print(line(scenario, strategy, together(outcomes)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
