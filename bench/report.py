"""Writes what was measured as one Markdown table, with the targets beside it."""

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec

from bench.measure import Memory, Round
from bench.scenarios import LIMITS, Load

HEADER = ("| | floor | proxy | ratio | target | |", "|---|---:|---:|---:|---:|---|")


class Row(msgspec.Struct, frozen=True):
    """One figure of both servers; what was not measured is None."""

    title: str
    floor: str | None = None
    proxy: str | None = None
    ratio: float | None = None
    target: str = ""
    met: bool | None = None


def table(rows: Sequence[Row]) -> str:
    """Gives the table."""
    return "\n".join([*HEADER, *map(_line, rows)])


def load_rows(load: Load, rounds: Mapping[str, Sequence[Round]]) -> Iterator[Row]:
    """Gives the figures of one load; the ratio is the median of the rounds' ratios."""
    per_call = _row("CPU per call, µs", rounds, lambda each: each.cpu / each.calls * 1e6, form="{:.0f}")
    per_token = _row("CPU per token, µs", rounds, lambda each: each.cpu / each.calls / load.tokens * 1e6, form="{:.1f}")
    first, second = (per_token, per_call) if load.stream else (per_call, per_token)
    ratio = _ratio(rounds)
    yield msgspec.structs.replace(
        first,
        title=f"**{load.title}**: {first.title}",
        ratio=ratio,
        target=f"≤ {load.target:g} x",
        met=None if ratio is None else ratio <= load.target,
    )
    yield second
    yield _row("calls a second", rounds, lambda each: each.calls / each.timing.wall, form="{:.0f}")
    yield _row("p50, ms", rounds, lambda each: each.timing.quantile(0.5) * 1e3, form="{:.1f}")
    yield _row("p99, ms", rounds, lambda each: each.timing.quantile(0.99) * 1e3, form="{:.1f}")


def start_row(seconds: Mapping[str, float]) -> Row:
    """Gives the time from the command to `ready`."""
    return _limited("**Start** to `ready`, s", seconds, limit=LIMITS.start_seconds, form="{:.2f}", unit=" s")


def memory_rows(memory: Mapping[str, Memory]) -> Iterator[Row]:
    """Gives the resident memory."""
    idle = {name: each.idle for name, each in memory.items()}
    streams = {name: each.streams for name, each in memory.items()}
    yield _limited("**Memory** idle, MiB", idle, limit=LIMITS.idle_mib, form="{:.0f}", unit=" MiB")
    title = f"{LIMITS.streams:,} open streams that wait add, MiB"
    yield _limited(title, streams, limit=LIMITS.streams_mib, form="{:.0f}", unit=" MiB")


def _line(row: Row) -> str:
    ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
    verdict = {None: "", True: "met", False: "missed"}[row.met]
    return f"| {row.title} | {row.floor or '-'} | {row.proxy or '-'} | {ratio} | {row.target} | {verdict} |"


def _row(title: str, rounds: Mapping[str, Sequence[Round]], figure: Callable[[Round], float], *, form: str) -> Row:
    medians = {name: form.format(statistics.median(map(figure, each))) for name, each in rounds.items()}
    return Row(title=title, floor=medians.get("floor"), proxy=medians.get("proxy"))


def _ratio(rounds: Mapping[str, Sequence[Round]]) -> float | None:
    """Compares rounds that ran beside each other, so that noise that outlasts both cancels."""
    if not {"floor", "proxy"} <= rounds.keys():
        return None
    pairs = zip(rounds["floor"], rounds["proxy"], strict=True)
    return statistics.median(proxy.cpu / floor.cpu for floor, proxy in pairs)


def _limited(title: str, values: Mapping[str, float], *, limit: float, form: str, unit: str) -> Row:
    proxy = values.get("proxy")
    return Row(
        title=title,
        floor=form.format(values["floor"]) if "floor" in values else None,
        proxy=None if proxy is None else form.format(proxy),
        target=f"≤ {limit:g}{unit}",
        met=None if proxy is None else proxy <= limit,
    )
