from datetime import UTC, datetime

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from llmproxy_grpc import errors
from llmproxy_grpc._gen.v1 import error_pb2
from llmproxy_grpc.calls import ANONYMOUS, Attempt, Call
from llmproxy_grpc.errors import Fault, FieldViolation, InvalidRequest, ProxyError, UpstreamServerError
from llmproxy_grpc.server.status import DETAILS_KEY, MOST_BYTES, PUSHBACK_KEY, TABLE, rich_status


def leaves(cls: type[ProxyError]) -> set[type[ProxyError]]:
    found = {cls} if cls.reason else set()
    for child in cls.__subclasses__():
        found |= leaves(child)
    return found


def call(**fields) -> Call:
    return Call("id", "Chat", "request", ANONYMOUS, datetime.now(UTC), 0.0, 1.0, **fields)


def test_every_error_of_the_tree_has_a_code_and_a_reason_of_the_contract():
    assert leaves(ProxyError) == set(TABLE)
    for error in TABLE:
        assert f"ERROR_REASON_{error.reason}" in error_pb2.ErrorReason.keys()  # noqa: SIM118 - a protobuf wrapper


def test_the_codes_are_those_that_the_protos_pair_with_the_reasons():
    documented = {}
    source = __import__("pathlib").Path(__file__).parents[3] / "protos/llmproxy/v1/error.proto"
    comment = ""
    for line in source.read_text().splitlines():
        stripped = line.strip()
        if stripped.startswith("//"):
            comment = stripped.removeprefix("//").strip()
        elif stripped.startswith("ERROR_REASON_"):
            documented[stripped.split(" ")[0].removeprefix("ERROR_REASON_")] = comment.split(":")[0]
    assert {error.reason: code.name for error, code in TABLE.items()} == {
        error.reason: documented[error.reason] for error in TABLE
    }


@pytest.mark.parametrize(
    ("error", "pushback"),
    [
        (errors.UpstreamServerError("x"), "-1"),
        (errors.UpstreamStreamBroken("x"), "-1"),
        (errors.UpstreamRateLimited("x"), "-1"),
        (errors.UpstreamRateLimited("x", retry_after=2.5), "2500"),
        (errors.ProxyOverloaded("x", retry_after=1.0), "1000"),
        (errors.NoProviderAvailable("x"), "1000"),
        (errors.Draining("x"), None),
        (errors.InvalidRequest("x"), None),
        (errors.InternalError("x"), None),
        (errors.DeadlineExceeded("x"), None),
    ],
)
def test_pushback_says_whether_to_repeat(error, pushback):
    assert dict(rich_status(error, call()).trailing_metadata).get(PUSHBACK_KEY) == pushback


def test_the_largest_error_stays_below_four_kibibytes_and_keeps_its_reason():
    fault = Fault("p" * 64, "m" * 256, 500, "c" * 100, "w" * 256, "r" * 128)
    error = InvalidRequest("x" * 400, violations=[FieldViolation(f"messages[{i}]", "y" * 200) for i in range(99)])
    error.fault = fault
    attempts = [Attempt("p" * 64, "m" * 256, 1.0, UpstreamServerError("x", fault=fault)) for _ in range(9)]
    status = rich_status(error, call(attempts=attempts))
    serialized = dict(status.trailing_metadata)[DETAILS_KEY]
    assert len(serialized) <= MOST_BYTES
    info = error_details_pb2.ErrorInfo()
    parsed = status_pb2.Status.FromString(serialized)
    assert parsed.details[0].Unpack(info)
    assert info.reason == "INVALID_REQUEST"
    bad = error_details_pb2.BadRequest()
    assert any(packed.Unpack(bad) for packed in parsed.details)
    assert len(bad.field_violations) > 3


def test_six_attempts_at_most_are_told():
    attempts = [Attempt("p", "m", 1.0, UpstreamServerError("x")) for _ in range(9)]
    status = rich_status(UpstreamServerError("x"), call(attempts=attempts))
    detail = error_pb2.ErrorDetail()
    assert status_pb2.Status.FromString(dict(status.trailing_metadata)[DETAILS_KEY]).details[1].Unpack(detail)
    assert len(detail.attempts) == 6
    assert status.code is grpc.StatusCode.UNAVAILABLE
