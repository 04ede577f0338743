from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client import Histogram as Reference

from llmproxy_grpc.telemetry.histogram import Histogram

BOUNDS = (0.1, 1, 2.5)


def samples(registry: CollectorRegistry) -> list[str]:
    lines = generate_latest(registry).decode().splitlines()
    return sorted(line for line in lines if "_created" not in line)


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from([0.0, 0.1, 0.5, 1.0, 2.5, 3.0, 1e9]))))
def test_it_exposes_what_the_usual_histogram_would(values):
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    histogram = Histogram("h_seconds", "Help.", ["name"], bounds=BOUNDS, registry=ours)
    reference = Reference("h_seconds", "Help.", ["name"], buckets=BOUNDS, registry=theirs)
    for name, value in values:
        histogram.labels(name).observe(value)
        reference.labels(name).observe(value)
    assert samples(ours) == samples(theirs)
