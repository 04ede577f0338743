"""Metrics for the hot path: a counter is one addition, without the lock and the lookups of prometheus-client's own."""

import math
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from itertools import accumulate
from typing import Final, Literal, TypeVar

from msgspec import Struct
from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from llmproxy_grpc.telemetry.cells import Cells, Numbers

Made = TypeVar("Made")

GONE: Final = math.nan
"""Stands in the number of a series that is no longer shown."""


class Family(Struct, frozen=True):
    """What one metric is.

    Attributes:
        name: Without the `_total` of a counter.
        text: What it measures.
        kind: What it is to Prometheus.
        labels: Names of the labels.
        bounds: Of a histogram's buckets, ascending; the last bucket is everything above.
        across: What a gauge of several processes is: their sum, or the least or the greatest of them.
    """

    name: str
    text: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    bounds: tuple[float, ...] = ()
    across: Literal["sum", "min", "max"] = "sum"

    @property
    def length(self) -> int:
        """Numbers of one series: a histogram's are its buckets and the sum."""
        return len(self.bounds) + 2 if self.kind == "histogram" else 1


class Counter:
    """One series of a counter."""

    def __init__(self, numbers: Numbers) -> None:
        self._numbers = numbers

    def inc(self, amount: float = 1.0) -> None:
        """Adds."""
        self._numbers[0] += amount


class Gauge:
    """One series of a gauge."""

    def __init__(self, numbers: Numbers) -> None:
        self._numbers = numbers

    def set(self, value: float) -> None:
        """Takes the value; a series that was removed is shown again."""
        self._numbers[0] = value

    def inc(self) -> None:
        """One more."""
        self._numbers[0] += 1.0

    def dec(self) -> None:
        """One less."""
        self._numbers[0] -= 1.0

    def remove(self) -> None:
        """Is shown no longer."""
        self._numbers[0] = GONE


class Histogram:
    """One series of a histogram."""

    def __init__(self, bounds: Sequence[float], numbers: Numbers) -> None:
        self._bounds = bounds
        self._numbers = numbers

    def observe(self, value: float) -> None:
        """Counts one value."""
        self._numbers[bisect_left(self._bounds, value)] += 1.0
        self._numbers[-1] += value


class Series(Struct, frozen=True):
    """Where the numbers of one set of label values are."""

    family: Family
    values: tuple[str, ...]
    begin: int


Found = Iterator[tuple[Family, tuple[str, ...], Sequence[float]]]
"""Each series with its family, label values and numbers."""


class Families:
    """The metrics of a process; written and read by the event loop's thread alone, so without locks.

    Args:
        cells: Where the numbers are.
        told: Told of every new series, before anything is counted in it.
    """

    def __init__(self, cells: Cells, told: Callable[[Series], None] = lambda _series: None) -> None:
        self._cells = cells
        self._told = told
        self._series: list[tuple[Family, tuple[str, ...], Numbers]] = []

    def counter(self, name: str, text: str, *labels: str) -> Callable[..., Counter]:
        """A counter: gives its series by the values of the labels."""
        return self._by_values(Family(name, text, "counter", labels), Counter)

    def gauge(
        self, name: str, text: str, *labels: str, across: Literal["sum", "min", "max"] = "sum"
    ) -> Callable[..., Gauge]:
        """A gauge: gives its series by the values of the labels."""
        return self._by_values(Family(name, text, "gauge", labels, across=across), Gauge)

    def histogram(self, name: str, text: str, bounds: Sequence[float], *labels: str) -> Callable[..., Histogram]:
        """A histogram: gives its series by the values of the labels."""
        family = Family(name, text, "histogram", labels, tuple(map(float, bounds)))
        return self._by_values(family, lambda numbers: Histogram(family.bounds, numbers))

    def found(self) -> Found:
        """Every series so far."""
        return iter(self._series)

    def _by_values(self, family: Family, make: Callable[[Numbers], Made]) -> Callable[..., Made]:
        def series(*values: str) -> Made:
            begin, numbers = self._cells.take(family.length)
            self._told(Series(family, values, begin))
            self._series.append((family, values, numbers))
            return make(numbers)

        return cache(series)  # the label sets are closed


class Exposition(Collector):
    """Series of one or several processes as Prometheus reads them, those of the same labels made one."""

    def __init__(self, found: Found) -> None:
        self._merged: dict[str, tuple[Family, dict[tuple[str, ...], list[float]]]] = {}
        for family, values, numbers in found:
            _, series = self._merged.setdefault(family.name, (family, {}))
            series[values] = _together(family, series.get(values), numbers)

    def render(self) -> bytes:
        """The text format."""
        registry = CollectorRegistry()
        registry.register(self)
        return generate_latest(registry)

    def describe(self) -> list[Metric]:
        """Nothing beforehand: registering must not collect."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Every family, in the order of its first series."""
        for family, series in self._merged.values():
            shown = {values: numbers for values, numbers in series.items() if not math.isnan(numbers[0])}
            yield _metric(family, shown)


def _together(family: Family, known: list[float] | None, numbers: Sequence[float]) -> list[float]:
    """The numbers of one series, joined with those of other processes; a number that is gone does not count."""
    if known is None or math.isnan(known[0]):
        return list(numbers)
    if math.isnan(numbers[0]):
        return known
    if family.across == "sum":
        return [one + other for one, other in zip(known, numbers, strict=True)]
    return [(min if family.across == "min" else max)(known[0], numbers[0])]


def _metric(family: Family, series: Mapping[tuple[str, ...], Sequence[float]]) -> Metric:
    if family.kind == "histogram":
        histogram = HistogramMetricFamily(family.name, family.text, labels=family.labels)
        texts = [*map(str, family.bounds), "+Inf"]
        for values, numbers in series.items():
            buckets = list(zip(texts, accumulate(numbers[:-1]), strict=True))
            histogram.add_metric(values, buckets, numbers[-1])
        return histogram
    made = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    metric = made(family.name, family.text, labels=family.labels)
    for values, numbers in series.items():
        metric.add_metric(values, numbers[0])
    return metric
