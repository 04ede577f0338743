import math
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, disable_created_metrics, generate_latest
from prometheus_client import Counter as UsualCounter
from prometheus_client import Gauge as UsualGauge
from prometheus_client import Histogram as UsualHistogram

from llmproxy_grpc.telemetry.cells import SIZE, WIDTH, Cells
from llmproxy_grpc.telemetry.families import Exposition, Families, Series

BOUNDS = (0.1, 1, 2.5)
VALUES = st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from([0.0, 0.1, 0.5, 1.0, 2.5, 3.0, 1e9])), min_size=1)


def lines(*of: Families) -> list[str]:
    return Exposition(series for families in of for series in families.found()).render().decode().splitlines()


@given(VALUES)
def test_it_exposes_what_the_usual_metrics_would(values):
    disable_created_metrics()
    ours, theirs = Families(Cells()), CollectorRegistry()
    histogram = ours.histogram("h_seconds", "Help.", BOUNDS, "name")
    counter = ours.counter("c", "Help.", "name")
    gauge = ours.gauge("g", "Help.", "name")
    usual = UsualHistogram("h_seconds", "Help.", ["name"], buckets=BOUNDS, registry=theirs)
    usual_counter = UsualCounter("c", "Help.", ["name"], registry=theirs)
    usual_gauge = UsualGauge("g", "Help.", ["name"], registry=theirs)
    for name, value in values:
        histogram(name).observe(value)
        usual.labels(name).observe(value)
        counter(name).inc(value)
        usual_counter.labels(name).inc(value)
        gauge(name).set(value)
        usual_gauge.labels(name).set(value)
    assert lines(ours) == generate_latest(theirs).decode().splitlines()


EXACT = st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from([0.0, 0.125, 1.0, 2.5, 2.0**20])), min_size=1)
"""Sums of these are the same in any order."""


@given(EXACT, EXACT)
def test_two_processes_show_what_one_would(one, other):
    parts, whole = [Families(Cells()), Families(Cells())], Families(Cells())
    for families, values in ((parts[0], one), (parts[1], other), (whole, [*one, *other])):
        histogram, counter = families.histogram("h", "Help.", BOUNDS, "name"), families.counter("c", "Help.", "name")
        for name, value in values:
            histogram(name).observe(value)
            counter(name).inc(value)
    assert sorted(lines(*parts)) == sorted(lines(whole))


@pytest.mark.parametrize(("across", "together"), [("sum", 3.0), ("min", 1.0), ("max", 2.0)])
def test_a_gauge_of_several_processes_is_their_sum_or_the_least_or_the_greatest(across, together):
    parts = [Families(Cells()), Families(Cells())]
    for families, value in zip(parts, (1.0, 2.0), strict=True):
        families.gauge("g", "Help.", across=across)().set(value)
    assert f"g {together}" in lines(*parts)


def test_a_series_that_was_removed_is_shown_no_longer_and_counts_for_nothing():
    one, other = Families(Cells()), Families(Cells())
    gone = one.gauge("g", "Help.", "name", across="min")("a")
    gone.set(0)
    gone.remove()
    assert "g" not in [line.partition("{")[0] for line in lines(one)]
    other.gauge("g", "Help.", "name", across="min")("a").set(1)
    assert 'g{name="a"} 1.0' in lines(one, other)
    assert 'g{name="a"} 1.0' in lines(other, one)
    gone.set(0)
    assert 'g{name="a"} 0.0' in lines(one, other)


def test_what_is_counted_in_shared_memory_is_there_for_the_other_side():
    theirs, descriptor = Cells.shared()
    told: list[Series] = []
    ours = Families(Cells(descriptor), told.append)
    os.close(descriptor)
    ours.counter("c", "Help.")().inc(2)
    ours.histogram("h", "Help.", BOUNDS)().observe(0.5)
    counter, histogram = told
    assert theirs.numbers[counter.begin] == 2.0
    assert list(theirs.numbers[histogram.begin : histogram.begin + histogram.family.length]) == [0, 1, 0, 0, 0.5]


def test_a_series_is_announced_before_anything_is_counted_in_it():
    cells = Cells()
    families = Families(cells, lambda series: announced.append(cells.numbers[series.begin]))
    announced: list[float] = []
    families.counter("c", "Help.")().inc()
    assert announced == [0.0]


def test_when_all_cells_are_in_use_counting_goes_on_in_private():
    cells = Cells()
    begin, numbers = cells.take(SIZE // WIDTH)
    assert (begin, len(numbers)) == (0, SIZE // WIDTH)
    begin, numbers = cells.take(3)
    numbers[2] += 1
    assert (begin, list(numbers)) == (-1, [0, 0, 1])
    assert not math.isnan(cells.numbers[0])
