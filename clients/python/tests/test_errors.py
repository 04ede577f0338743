"""Errors tell what the proxy told, and never fail themselves."""

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc import aio
from hypothesis import given
from hypothesis import strategies as st

from llmproxy_client import BrokenStream, StreamFailed, Violation, error_detail
from llmproxy_client.v1.chat_pb2 import StreamError
from llmproxy_client.v1.error_pb2 import ERROR_REASON_MODEL_NOT_FOUND, ErrorDetail

STATUS = "grpc-status-details-bin"


class Failed(grpc.RpcError):
    def __init__(self, refused, trailers=None):
        self.refused = refused
        self.trailers = refused.trailing_metadata if trailers is None else trailers

    def code(self):
        return self.refused.code

    def details(self):
        return self.refused.details

    def trailing_metadata(self):
        return self.trailers


def full(refusal):
    return refusal(
        grpc.StatusCode.INVALID_ARGUMENT,
        "the request is wrong",
        ErrorInfo(reason="INVALID_REQUEST", domain="llmproxy", metadata={"fields": "2"}),
        ErrorDetail(request_id="req-1", provider="openai", retryable=False),
        RetryInfo(retry_delay={"seconds": 1, "nanos": 500_000_000}),
        BadRequest(field_violations=[{"field": "model", "description": "is required"}]),
    )


@pytest.mark.parametrize("asynchronous", [False, True])
def test_an_error_tells_all_that_the_proxy_told(refusal, asynchronous):
    refused = full(refusal)
    error = (
        aio.AioRpcError(refused.code, aio.Metadata(), aio.Metadata(*refused.trailing_metadata), refused.details)
        if asynchronous
        else Failed(refused)
    )

    failure = error_detail(error)

    assert failure.code is grpc.StatusCode.INVALID_ARGUMENT
    assert failure.reason == "INVALID_REQUEST"
    assert failure.message == "the request is wrong"
    assert failure.metadata == {"fields": "2"}
    assert failure.detail.provider == "openai"
    assert failure.retry_after == 1.5
    assert failure.violations == (Violation("model", "is required"),)
    assert failure.request_id == "req-1"


def test_the_wait_may_stand_in_the_detail_alone(refusal):
    refused = refusal(grpc.StatusCode.UNAVAILABLE, "busy", ErrorDetail(retry_after={"seconds": 3}))

    assert error_detail(Failed(refused)).retry_after == 3


def test_no_wait_is_not_a_wait_of_zero(refusal):
    assert error_detail(Failed(refusal(grpc.StatusCode.UNAVAILABLE, "busy", ErrorDetail()))).retry_after is None


def test_the_reason_may_stand_in_the_detail_alone(refusal):
    refused = refusal(grpc.StatusCode.NOT_FOUND, "no such model", ErrorDetail(reason=ERROR_REASON_MODEL_NOT_FOUND))

    assert error_detail(Failed(refused)).reason == "MODEL_NOT_FOUND"


def test_a_reason_of_a_newer_server_is_told_by_its_number(refusal):
    refused = refusal(grpc.StatusCode.NOT_FOUND, "", ErrorDetail.FromString(b"\x08\xe7\x07"))

    assert error_detail(Failed(refused)).reason == "999"


def test_the_request_id_of_the_trailers_serves_where_there_is_no_detail(refusal):
    refused = refusal(grpc.StatusCode.UNAVAILABLE, "busy", trailers=(("x-request-id", "req-2"),))

    assert error_detail(Failed(refused)).request_id == "req-2"


def test_the_reason_of_somebody_else_is_not_ours(refusal):
    refused = refusal(grpc.StatusCode.UNAVAILABLE, "busy", ErrorInfo(reason="RATE_LIMITED", domain="example.com"))

    failure = error_detail(Failed(refused))

    assert failure.reason == ""
    assert failure.message == "busy"


@given(data=st.binary())
def test_broken_details_leave_code_and_message(data):
    refused = _Refused(grpc.StatusCode.INTERNAL, "oops")

    failure = error_detail(Failed(refused, ((STATUS, data),)))

    assert failure.code is grpc.StatusCode.INTERNAL
    assert failure.message == "oops"


@given(data=st.binary(min_size=1))
def test_a_broken_detail_leaves_the_others(data):
    status = Status(
        details=[
            {"type_url": "type.googleapis.com/llmproxy.v1.ErrorDetail", "value": data},
            {"type_url": "type.googleapis.com/google.rpc.ErrorInfo", "value": b"\x0a\x01X\x12\x08llmproxy"},
        ]
    )
    refused = _Refused(grpc.StatusCode.INTERNAL, "oops")

    assert error_detail(Failed(refused, ((STATUS, status.SerializeToString()),))).reason == "X"


@pytest.mark.parametrize("trailers", [None, (), 7, ((STATUS, "text"),), ((STATUS, b""),)])
def test_missing_or_odd_trailers_leave_code_and_message(trailers):
    error = Failed(_Refused(grpc.StatusCode.UNAVAILABLE, "gone"), trailers)
    error.trailers = trailers

    failure = error_detail(error)

    assert (failure.code, failure.message, failure.reason) == (grpc.StatusCode.UNAVAILABLE, "gone", "")


def test_an_error_without_anything_is_unknown():
    failure = error_detail(grpc.RpcError())

    assert (failure.code, failure.message) == (grpc.StatusCode.UNKNOWN, "")


def test_an_error_that_is_not_grpcs_keeps_its_words():
    failure = error_detail(BrokenStream("cut"))

    assert (failure.code, failure.message) == (grpc.StatusCode.UNKNOWN, "cut")


def test_an_error_event_reads_like_a_status():
    error = StreamError(
        grpc_code=5,
        message="no such model",
        detail={"reason": ERROR_REASON_MODEL_NOT_FOUND, "request_id": "req-3", "retry_after": {"seconds": 2}},
    )

    failure = error_detail(StreamFailed(error))

    assert failure.code is grpc.StatusCode.NOT_FOUND
    assert (failure.reason, failure.message, failure.request_id) == ("MODEL_NOT_FOUND", "no such model", "req-3")
    assert failure.retry_after == 2


class _Refused:
    trailing_metadata = ()

    def __init__(self, code, details):
        self.code, self.details = code, details
