"""Providers as operators see and switch them."""

import json
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from llmproxy_client.admin.v1 import provider_pb2 as pb
from llmproxy_client.admin.v1.admin_service_pb2_grpc import AdminServiceServicer, add_AdminServiceServicer_to_server
from llmproxy_client.ctl.provider import VERBS


class Switches(AdminServiceServicer):
    """Two providers, one page each."""

    def __init__(self):
        self.states = {"a": pb.PROVIDER_STATE_ENABLED, "b": pb.PROVIDER_STATE_ENABLED}
        self.asked = []
        self.metadata = []

    def ListProviders(self, request, context):  # noqa: N802 - gRPC's name
        self.metadata.append(dict(context.invocation_metadata()))
        name = request.page_token or "a"
        return pb.ListProvidersResponse(providers=[self._shown(name)], next_page_token="b" if name == "a" else "")

    def EnableProvider(self, request, context):  # noqa: N802 - gRPC's name
        return pb.EnableProviderResponse(provider=self._switch(request, pb.PROVIDER_STATE_ENABLED, context))

    def DrainProvider(self, request, context):  # noqa: N802 - gRPC's name
        return pb.DrainProviderResponse(provider=self._switch(request, pb.PROVIDER_STATE_DRAINING, context))

    def DisableProvider(self, request, context):  # noqa: N802 - gRPC's name
        return pb.DisableProviderResponse(provider=self._switch(request, pb.PROVIDER_STATE_DISABLED, context))

    def _switch(self, request, state, context):
        if request.name not in self.states:
            context.abort(grpc.StatusCode.NOT_FOUND, "No such provider.")
        self.asked.append((request.name, request.note))
        self.states[request.name] = state
        return self._shown(request.name, note=request.note)

    def _shown(self, name, note=""):
        shown = pb.Provider(name=name, kind="openai", state=self.states[name], in_flight=3, note=note)
        shown.configured_state = pb.PROVIDER_STATE_ENABLED
        shown.serving = name == "a"
        return shown


@pytest.fixture
def switches():
    return Switches()


@pytest.fixture
def admin_target(switches):
    pool = ThreadPoolExecutor(2)
    server = grpc.server(pool, options=[("grpc.so_reuseport", 0)])
    add_AdminServiceServicer_to_server(switches, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(0).wait()
    pool.shutdown()


def rows(text):
    return [line.split() for line in text.splitlines()]


def test_the_list_comes_page_by_page_and_takes_no_key_along(ctl, switches, admin_target):
    assert ctl("provider", "list", LLMPROXY_ADMIN_TARGET=admin_target, LLMPROXY_API_KEY="secret-key") == 0
    assert [row[:6] for row in rows(ctl.out)[1:]] == [
        ["a", "openai", "ENABLED", "ENABLED", "3", "yes"],
        ["b", "openai", "ENABLED", "ENABLED", "3", "no"],
    ]
    assert "authorization" not in switches.metadata[0]
    assert ctl("provider", "list", "--json", "--admin-target", admin_target) == 0
    assert [provider["name"] for provider in json.loads(ctl.out)["providers"]] == ["a", "b"]


@pytest.mark.parametrize(("verb", "state"), [("enable", "ENABLED"), ("drain", "DRAINING"), ("disable", "DISABLED")])
def test_each_verb_switches_every_provider_named_and_shows_it(ctl, switches, admin_target, verb, state):
    assert ctl("provider", verb, "--admin-target", admin_target, "--note", "why not", "a", "b") == 0
    assert [row[:3] for row in rows(ctl.out)[1:]] == [["a", "openai", state], ["b", "openai", state]]
    assert rows(ctl.out)[1][5] == ("yes" if verb == "enable" else "no")  # however well it does
    assert switches.asked == [("a", "why not"), ("b", "why not")]
    assert verb in VERBS


def test_an_unknown_provider_is_a_failure(ctl, admin_target):
    assert ctl("provider", "drain", "nobody", "--admin-target", admin_target) == 1
    assert "NOT_FOUND" in ctl.err
    assert not ctl.out


def test_a_listener_that_is_not_the_operators_is_said_to_be_none(ctl, target):
    assert ctl("provider", "list", "--admin-target", target) == 1
    assert "UNIMPLEMENTED" in ctl.err
    assert "there is no such API at that address; is it another listener of the proxy?" in ctl.err


def test_the_operators_listener_is_said_to_serve_no_calls(ctl, admin_target):
    assert ctl("models", "--target", admin_target) == 1
    assert "there is no such API at that address; is it another listener of the proxy?" in ctl.err


def test_those_switched_before_one_that_fails_are_told(ctl, switches, admin_target):
    assert ctl("provider", "drain", "a", "b", "nobody", "--admin-target", admin_target) == 1
    assert [row[:3] for row in rows(ctl.out)[1:]] == [["a", "openai", "DRAINING"], ["b", "openai", "DRAINING"]]
    assert "NOT_FOUND" in ctl.err
    assert [name for name, _ in switches.asked] == ["a", "b"]

    assert ctl("provider", "enable", "a", "nobody", "b", "--json", "--admin-target", admin_target) == 1
    assert [provider["name"] for provider in json.loads(ctl.out)["providers"]] == ["a"]
    assert switches.states["b"] == pb.PROVIDER_STATE_DRAINING


@pytest.mark.parametrize(
    "arguments", [["list"], ["disable", "a"], ["list", "--admin-target", "http://x"], [], ["disable"]]
)
def test_wrong_usage_is_told(ctl, capsys, arguments):
    with pytest.raises(SystemExit) as raised:
        ctl("provider", *arguments)
    assert raised.value.code == 2
    assert "usage" in capsys.readouterr().err
