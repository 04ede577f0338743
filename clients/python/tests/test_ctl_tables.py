"""Models and health as llmproxyctl shows them."""

import json

import grpc
import pytest

from llmproxy_client import connect
from llmproxy_client.ctl import health
from llmproxy_client.v1.error_pb2 import ERROR_REASON_UPSTREAM_TIMEOUT
from llmproxy_client.v1.health_pb2 import (
    CIRCUIT_STATE_OPEN,
    SERVING_STATUS_DEGRADED,
    SERVING_STATUS_DRAINING,
    SERVING_STATUS_NOT_SERVING,
    SERVING_STATUS_SERVING,
    SERVING_STATUS_UNSPECIFIED,
    HealthResponse,
)
from llmproxy_client.v1.model_pb2 import CAPABILITY_CHAT, CAPABILITY_TOOLS, ListModelsResponse


def test_models_come_page_by_page_as_a_table(ctl, script):
    price = {
        "currency_code": "USD",
        "input_nanos_per_million_tokens": 37_500_000,
        "output_nanos_per_million_tokens": 10_000_000_000,
    }
    script.pages = {
        "": ListModelsResponse(
            models=[
                {
                    "id": "assistant",
                    "status": SERVING_STATUS_SERVING,
                    "targets": [
                        {"provider": "a", "upstream_model": "b/c"},
                        {"provider": "d", "upstream_model": "e", "price": price},
                    ],
                    "max_input_tokens": 8192,
                    "capabilities": [CAPABILITY_CHAT, CAPABILITY_TOOLS],
                }
            ],
            next_page_token="2",
        ),
        "2": ListModelsResponse(models=[{"id": "small\x1b[31m"}]),
    }

    assert ctl("models") == 0

    assert [line.split() for line in ctl.out.splitlines()] == [
        ["MODEL", "STATUS", "TARGETS", "INPUT", "OUTPUT", "PRICE", "CAPABILITIES"],
        ["assistant", "SERVING", "a/b/c,", "d/e", "8192", "-", "0.0375/10", "USD", "chat,", "tools"],
        ["small[31m", "-", "-", "-", "-", "-", "-"],
    ]
    assert ctl("models", "--json") == 0
    assert [model["id"] for model in json.loads(ctl.out)["models"]] == ["assistant", "small\x1b[31m"]


def test_a_server_that_repeats_its_page_ends_the_list(ctl, script):
    script.pages = {
        "": ListModelsResponse(models=[{"id": "a"}], next_page_token="2"),
        "2": ListModelsResponse(models=[{"id": "b"}], next_page_token="2"),
    }

    assert ctl("models") == 0
    assert len(script.asked) == 2


@pytest.mark.parametrize(
    ("status", "ended"),
    [
        (SERVING_STATUS_SERVING, 0),
        (SERVING_STATUS_DEGRADED, 0),
        (SERVING_STATUS_NOT_SERVING, 1),
        (SERVING_STATUS_DRAINING, 1),
        (SERVING_STATUS_UNSPECIFIED, 1),
    ],
)
@pytest.mark.parametrize("form", [[], ["--json"]])
def test_health_ends_with_1_unless_it_serves(ctl, script, status, ended, form):
    script.health = HealthResponse(status=status, version="1.2.3")

    assert ctl("health", *form) == ended
    assert "1.2.3" in ctl.out


def test_health_shows_each_provider(ctl, script):
    script.health = HealthResponse(
        status=SERVING_STATUS_DEGRADED,
        version="1.2.3",
        start_time={"seconds": 0},
        load={"active_calls": 3, "active_streams": 4, "admission_limit": 1024},
        providers=[
            {
                "provider": "openai",
                "kind": "openai",
                "status": SERVING_STATUS_NOT_SERVING,
                "circuit": CIRCUIT_STATE_OPEN,
                "error_rate": 0.5,
                "time_to_first_token_p50": {"nanos": 300_000_000},
                "in_flight": 2,
                "last_error": ERROR_REASON_UPSTREAM_TIMEOUT,
            }
        ],
    )
    ctl("health")

    lines = ctl.out.splitlines()
    assert lines[:4] == [
        "status   DEGRADED",
        "version  1.2.3",
        "started  1970-01-01T00:00:00Z",
        "load     calls 3, streams 4, of 1024",
    ]
    assert lines[-1].split() == ["openai"] * 2 + [
        "NOT_SERVING",
        "OPEN",
        "50%",
        "300",
        "ms",
        "-",
        "2",
        "UPSTREAM_TIMEOUT",
    ]


def test_watching_outlives_a_proxy_that_is_away(script, target, refusal, screens):
    script.error, script.failures = refusal(grpc.StatusCode.UNAVAILABLE, "gone"), 1
    waits = []

    def sleep(seconds):
        waits.append(seconds)
        if len(waits) == 2:
            raise KeyboardInterrupt

    with connect(target, retries=False) as client, pytest.raises(KeyboardInterrupt):
        health.watch(client, screens, as_json=True, timeout=None, sleep=sleep)

    assert screens.err.getvalue() == "llmproxyctl: UNAVAILABLE: gone\n"
    assert json.loads(screens.out.getvalue())["status"] == "SERVING_STATUS_SERVING"
    assert waits == [2.0, 2.0]
