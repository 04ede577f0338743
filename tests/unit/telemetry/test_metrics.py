from llmproxy_grpc.telemetry.metrics import MOST_NAMES, OTHER, Names


def test_names_that_are_not_known_are_other():
    names = Names({"a", "b"}.__contains__)
    assert [names(name) for name in ("a", "x", "b", "")] == ["a", OTHER, "b", ""]


def test_names_beyond_two_hundred_are_other():
    names = Names(lambda _name: True)
    values = {names(f"model-{number}") for number in range(50_000)}
    assert len(values) == MOST_NAMES + 1
    assert OTHER in values
    assert names("model-0") == "model-0"
