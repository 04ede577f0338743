"""The rules of a stream's options."""

from llmproxy_grpc._gen.v1 import chat_pb2 as pb
from llmproxy_grpc.errors import FieldViolation
from llmproxy_grpc.server.validation.bounds import COALESCE, HEARTBEAT
from llmproxy_grpc.server.validation.findings import Findings
from llmproxy_grpc.server.validation.rules import check_duration


def validate_stream_options(options: pb.StreamOptions, *, prefix: str = "") -> list[FieldViolation]:
    """Names every option that breaks a rule, with `prefix` before each path; a heartbeat of zero is none at all."""
    found = Findings(prefix)
    if options.HasField("coalesce"):
        check_duration(found, "coalesce", options.coalesce, COALESCE)
    if options.HasField("heartbeat") and (options.heartbeat.seconds or options.heartbeat.nanos):
        check_duration(found, "heartbeat", options.heartbeat, HEARTBEAT)
    return found.violations()
