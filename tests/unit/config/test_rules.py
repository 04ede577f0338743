import pytest

from llmproxy_grpc.config.faults import ConfigError
from llmproxy_grpc.config.loader import load
from llmproxy_grpc.config.not_built import NOT_BUILT, built_values
from llmproxy_grpc.config.rules import RULES, check
from llmproxy_grpc.config.schema import AdminConfig, Config, GrpcConfig


def faults_of(tmp_path, text):
    (tmp_path / "c.yaml").write_text(text)
    try:
        load(tmp_path / "c.yaml", [], {}, tmp_path)
    except ConfigError as error:
        return [(fault.path, fault.message) for fault in error.faults]
    return []


BASE = "providers: [{name: p, kind: echo, models: {include: ['x*'], exclude: [xx]}}]\n"
TARGETS = "targets: [{provider: p, model: x}]"


@pytest.mark.parametrize(
    ("text", "path", "complaint"),
    [
        ("providers: [{name: a, kind: echo}, {name: a, kind: echo}]", "providers[1].name", "providers[0]"),
        (f"{BASE}models: [{{id: m, {TARGETS}}}, {{id: m, {TARGETS}}}]", "models[1].id", "models[0]"),
        (f"{BASE}models: [{{id: m, targets: [{{provider: q, model: x}}]}}]", "models[0].targets[0].provider", "are p"),
        (
            f"{BASE}models: [{{id: m, targets: [{{provider: p, model: x}}, {{provider: p, model: x}}]}}]",
            "models[0].targets[1]",
            "same target",
        ),
        (f"{BASE}models: [{{id: m, targets: []}}]", "models[0].targets", "must not be empty"),
        (f"{BASE}models: [{{id: m, {TARGETS}, fallback_models: [m]}}]", "models[0].fallback_models[0]", "itself"),
        (f"{BASE}models: [{{id: m, {TARGETS}, fallback_models: [n]}}]", "models[0].fallback_models[0]", "no model"),
        (
            f"{BASE}models: [{{id: m, {TARGETS}, fallback_models: [p/x, p/x]}}]",
            "models[0].fallback_models[1]",
            "twice",
        ),
        (
            f"{BASE}models: [{{id: m, {TARGETS}, fallbacks: {{context_length: [p/x, m]}}}}]",
            "models[0].fallbacks.context_length[1]",
            "itself",
        ),
        (
            f"{BASE}models: [{{id: m, {TARGETS}, fallbacks: {{prompt_blocked: [n]}}}}]",
            "models[0].fallbacks.prompt_blocked[0]",
            "no model",
        ),
        (f"{BASE}default_model: m", "default_model", "there are none, or PROVIDER/UPSTREAM_MODEL"),
        (f"{BASE}default_model: q/x", "default_model", "no model"),
        (f"{BASE}default_model: p/", "default_model", "no model"),
        (f"{BASE}default_model: p/y", "default_model", "left out"),
        (f"{BASE}default_model: p/xx", "default_model", "left out"),
        (f"{BASE}direct_models: false\ndefault_model: p/x", "default_model", "there are none"),
        ("default_model: default\ndiscovery: auto", "default_model", "no model"),
    ],
)
def test_a_name_must_stand_for_something(tmp_path, text, path, complaint):
    ((found, message),) = faults_of(tmp_path, text)
    assert found == path
    assert complaint in message


@pytest.mark.parametrize(
    "text",
    [
        f"{BASE}default_model: p/x1",
        f"{BASE}models: [{{id: m, {TARGETS}, fallback_models: [p/x, n]}}, {{id: n, {TARGETS}}}]\ndefault_model: m",
        f"{BASE}models: [{{id: p/y, {TARGETS}}}]\ndefault_model: p/y",
        "discovery: auto\ndefault_model: openai/gpt\nmodels: [{id: m, targets: [{provider: openai, model: x}]}]",
        "providers: []",
    ],
)
def test_names_that_exist_or_may_be_discovered_are_fine(tmp_path, text):
    assert faults_of(tmp_path, text) == []


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("grpc: {listen: '0.0.0.0:1'}", "grpc.listen"),
        ("grpc: {listen: ['127.0.0.1:1', '[::]:2']}", "grpc.listen[1]"),
        ("grpc: {listen: 'myhost:1'}", "grpc.listen"),
        ("grpc: {listen: '10.0.0.1:1', tls: {cert: c.yaml, key: c.yaml}}", "grpc.listen"),
        ("http: {listen: '0.0.0.0:1'}", "http.listen"),
        ("http: {listen: '0.0.0.0:1'}\ngrpc: {tls: {cert: c.yaml, key: c.yaml, client_ca: c.yaml}}", "http.listen"),
    ],
)
def test_a_listener_open_to_the_network_needs_tls_and_authentication(tmp_path, text, path):
    ((found, message),) = faults_of(tmp_path, text)
    assert found == path
    assert "open to the network" in message


@pytest.mark.parametrize(
    "text",
    [
        "grpc: {listen: ['localhost:1', '127.9.9.9:2', '[::1]:3', '[::ffff:127.0.0.1]:4', unix:a.sock]}",
        "grpc: {listen: '0.0.0.0:1', insecure: true}\nhttp: {listen: '0.0.0.0:2'}",
        "grpc: {listen: '0.0.0.0:1', tls: {cert: c.yaml, key: c.yaml, client_ca: c.yaml}}",
        "grpc: {health_listen: '0.0.0.0:1'}",
        "grpc: {listen: ['127.0.0.1:0', '127.0.0.1:0']}\nhttp: {listen: '127.0.0.1:0'}",
        "http: {listen: null}",
        "grpc: {listen: 'unix:/run/w{worker}.sock'}",
    ],
)
def test_these_listeners_are_safe(tmp_path, text):
    assert faults_of(tmp_path, text) == []


@pytest.mark.parametrize(
    "text",
    [
        "grpc: {listen: '127.0.0.1:8080'}",
        "grpc: {listen: [unix:a, unix:a]}",
        "grpc: {listen: '127.0.0.1:1', health_listen: '0.0.0.0:1'}",
        "grpc: {listen: ['unix:/a', 'unix:///a']}",
    ],
)
def test_two_listeners_never_want_the_same_address(tmp_path, text):
    ((_, message),) = faults_of(tmp_path, text)
    assert message == "is taken by another listener"


@pytest.mark.parametrize(
    "grpc",
    [
        "{workers: 3}",
        "{workers: 3, listen: ['127.0.0.1:0', 'unix:/run/p-{worker}.sock']}",
        "{workers: 9, listen: '127.0.0.1:5000{worker}'}",
        "{workers: 2, listen: '127.0.0.1:1', health_listen: '127.0.0.1:2'}",
    ],
)
def test_several_workers_share_ports_and_have_sockets_of_their_own(tmp_path, grpc):
    assert faults_of(tmp_path, f"grpc: {grpc}") == []


@pytest.mark.parametrize(
    ("grpc", "path", "message"),
    [
        (
            "{workers: 2, listen: [unix:/a]}",
            "grpc.listen[0]",
            "cannot be shared by 2 workers: put {worker} into the path",
        ),
        (
            "{workers: 11, listen: '127.0.0.1:5000{worker}'}",
            "grpc.listen",
            "must be HOST:PORT, [IPV6]:PORT or unix:PATH, for each worker: 127.0.0.1:500010",
        ),
        (
            "{workers: 2, health_listen: unix:/h}",
            "grpc.health_listen",
            "cannot be shared by 2 workers: it must be HOST:PORT",
        ),
        (
            "{workers: 3, listen: ['127.0.0.1:5001{worker}', '127.0.0.1:50012']}",
            "grpc.listen[1]",
            "is taken by another listener",
        ),
    ],
)
def test_what_several_workers_cannot_share_is_named(tmp_path, grpc, path, message):
    assert (path, message) in faults_of(tmp_path, f"grpc: {grpc}")


def test_only_linux_has_several_workers(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.platform", "darwin")
    ((path, message),) = faults_of(tmp_path, "grpc: {workers: 2}")
    assert path == "grpc.workers"
    assert "Linux" in message


NEUTRAL = """
grpc: {insecure: false}
admin: {listen: null}
providers: [{name: p, kind: echo, api: chat, api_version: null, region: null, project: null, location: null,
  deployment: null, profile: null}]
models: [{id: m, strategy: priority, targets: [{provider: p, model: x, weight: 1, when: null}], sticky: none,
  on_stream_break: error}]
breaker: {}
hedging: {enabled: false, max_ratio: 0.02}
records: {enabled: false}
auth: {mode: none}
limits: []
telemetry: {otlp_endpoint: null}
"""


def test_the_value_that_asks_for_nothing_is_no_use_of_a_feature(tmp_path):
    assert faults_of(tmp_path, NEUTRAL) == []


USES = {
    "providers[].api": "providers: [{name: p, kind: echo, api: responses}]",
    **{
        f"providers[].{key}": f"providers: [{{name: p, kind: echo, {key}: x}}]"
        for key in ("api_version", "region", "project", "location", "deployment", "profile")
    },
    "auth.mode": "auth: {mode: keys}",
    "limits": "limits: [{}]",
    "telemetry.otlp_endpoint": "telemetry: {otlp_endpoint: 'http://x'}",
}


@pytest.mark.parametrize("key", NOT_BUILT)
def test_a_feature_that_is_not_built_is_never_ignored(tmp_path, key):
    ((_, message),) = faults_of(tmp_path, USES[key])
    assert message == "is not built yet in this version; remove the key"


def test_the_operators_listener_stays_on_this_machine():
    public = Config(admin=AdminConfig(listen="0.0.0.0:1"))
    assert [problem.path for problem in check(public, RULES)] == [("admin", "listen")]
    waived = Config(admin=AdminConfig(listen="0.0.0.0:1"), grpc=GrpcConfig(insecure=True))
    assert [problem.path for problem in check(waived, RULES)] == [("admin", "listen")]


def test_what_is_built_takes_every_value():
    assert built_values(("auth", "mode")) == ("none",)
    assert built_values(("models", 0, "targets", 1, "when", "labels")) is None
    assert built_values(("grpc", "listen")) is None
