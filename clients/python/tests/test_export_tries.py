"""How often an export calls again, and when it gives up."""

from functools import partial

import grpc
import pytest

from llmproxy_client import export
from llmproxy_client.v1.export_pb2 import ExportRequest, ExportResponse

LINES = [b'{"text": "%d"}\n' % number for number in range(11)]
NO_WAIT = partial(export, sleep=lambda _seconds: None)


def test_an_error_that_does_not_pass_ends_the_export_at_once(client, script, refusal, folder):
    script.error = refusal(grpc.StatusCode.PERMISSION_DENIED, "no")
    with pytest.raises(grpc.RpcError):
        NO_WAIT(client.stub, ExportRequest(), folder)

    assert len(script.asked) == 1


def test_calls_that_bring_nothing_are_bounded(client, script, refusal, folder):
    script.error = refusal(grpc.StatusCode.UNAVAILABLE, "away")
    waits = []
    with pytest.raises(grpc.RpcError):
        export(client.stub, ExportRequest(), folder, sleep=waits.append)

    assert len(script.asked) == 8
    assert max(waits) <= 10


def test_heartbeats_bring_nothing(client, script, dataset, folder):
    """As where the proxy searches for longer than its line, or its store, ever lasts."""
    script.exported = [dataset()[0], *[ExportResponse(heartbeat={})] * 20]
    script.cuts = [2] * 20
    with pytest.raises(grpc.RpcError):
        NO_WAIT(client.stub, ExportRequest(), folder)

    assert len(script.asked) == 8


def test_a_limit_of_the_proxys_that_ends_a_call_of_heartbeats_would_end_the_next_one_as_well(
    client, script, dataset, folder, refusal
):
    script.exported, script.cuts = [dataset()[0], ExportResponse(heartbeat={}), ExportResponse(heartbeat={})], [2]
    script.cut = refusal(grpc.StatusCode.DEADLINE_EXCEEDED, "the proxy's limit")
    with pytest.raises(grpc.RpcError) as raised:
        NO_WAIT(client.stub, ExportRequest(), folder)

    assert raised.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert len(script.asked) == 1


def test_progress_counts_over_all_calls(client, script, dataset, folder):
    script.exported = dataset(*LINES)
    script.cuts = [3, 2]
    seen = []
    NO_WAIT(client.stub, ExportRequest(), folder, on_progress=seen.append)

    assert [progress.records for progress in seen] == sorted(progress.records for progress in seen)
    assert (seen[-1].records, seen[-1].bytes) == (11, len(b"".join(LINES)))
