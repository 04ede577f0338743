from datetime import UTC, datetime

from llmproxy_grpc import errors
from llmproxy_grpc.calls import ANONYMOUS, Attempt, Call, Outcome
from llmproxy_grpc.messages import Cost, Usage
from llmproxy_grpc.telemetry.metrics import CIRCUIT_STATES, MOST_CURRENCIES, MOST_NAMES, OTHER, Metrics, Names

HOSTILE = 'x"} 1\nevil_metric{a="b'


def test_names_that_are_not_known_are_other():
    names = Names({"a", "b"}.__contains__)
    assert [names(name) for name in ("a", "x", "b", "")] == ["a", OTHER, "b", ""]


def test_names_beyond_two_hundred_are_other():
    names = Names(lambda _name: True)
    values = {names(f"model-{number}") for number in range(50_000)}
    assert len(values) == MOST_NAMES + 1
    assert OTHER in values
    assert names("model-0") == "model-0"


def a_call(**fields):
    return Call("id", "Chat", "", ANONYMOUS, datetime.now(UTC), 0.0, 0.0, **fields)


def watched(metrics, *, model, provider, upstream_model, usage, error):
    """One call, from its begin to its end, as every observer is told of it."""
    call = a_call(model=model, provider=provider, upstream_model=upstream_model)
    metrics.call_started(call)
    metrics.attempt_started(call, provider, upstream_model)
    metrics.first_output(call, 0.1)
    metrics.output(call, 0.1)
    metrics.attempt_ended(call, Attempt(provider, upstream_model, 0.1, error, usage))
    metrics.call_ended(call, Outcome("UNAVAILABLE", error.reason, 0.1, error))


def label_values(metrics):
    """The values of each label, over all series."""
    found = {}
    for family, values, _ in metrics.families.found():
        for label, value in zip(family.labels, values, strict=True):
            found.setdefault(label, set()).add(value)
    return found


def test_nothing_that_a_caller_or_an_upstream_says_becomes_a_label():
    metrics = Metrics({"m"}.__contains__, {"p"}.__contains__)
    watched(metrics, model="m", provider="p", upstream_model="u", usage=Usage(1), error=errors.UpstreamServerError(""))
    ours = label_values(metrics)
    for number in range(300):
        said = f"{HOSTILE}{number}"
        fault = errors.Fault(said, said, number, said, said, said)
        error = errors.UpstreamServerError(said, fault=fault, metadata={said: said})
        usage = Usage(1, cost=Cost(said, 1))
        watched(metrics, model=said, provider=said, upstream_model=said, usage=usage, error=error)
        metrics.providers_up({said: True})
        metrics.circuits({said: "closed"})
    theirs = label_values(metrics)
    assert theirs.pop("currency") == {OTHER}
    assert theirs.pop("state") == set(CIRCUIT_STATES)
    for label, values in theirs.items():
        assert values - ours[label] <= {OTHER}, label
    assert b"evil" not in metrics.render()


def test_currencies_beyond_sixteen_are_other():
    metrics = Metrics({"m"}.__contains__, {"p"}.__contains__)
    for code in range(500):
        usage = Usage(1, cost=Cost(f"Z{chr(65 + code // 26)}{chr(65 + code % 26)}", 1))
        metrics.attempt_ended(a_call(model="m"), Attempt("p", "u", 0.1, usage=usage))
    currencies = label_values(metrics)["currency"]
    assert OTHER in currencies
    assert len(currencies) == MOST_CURRENCIES + 1


def test_no_counter_falls():
    metrics = Metrics({"m"}.__contains__, {"p"}.__contains__)
    metrics.attempt_ended(a_call(model="m"), Attempt("p", "u", 0.1, usage=Usage(1, 1, cost=Cost("USD", 10**9))))
    before = metrics.render()
    metrics.attempt_ended(a_call(model="m"), Attempt("p", "u", 0.1, usage=Usage(-5, -7, cost=Cost("USD", -(10**15)))))
    counted = [line for line in before.splitlines() if b"_tokens_total{" in line or b"_cost_total{" in line]
    assert len(counted) == 3
    assert all(line in metrics.render().splitlines() for line in counted)
