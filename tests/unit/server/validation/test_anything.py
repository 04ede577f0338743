from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st

from llmproxy_grpc._gen.v1 import chat_pb2
from llmproxy_grpc.server.validation import features_off, unknown_fields, validate, validate_stream_options
from llmproxy_grpc.server.validation.bounds import MAX_VIOLATIONS
from llmproxy_grpc.wire import to_request
from tests.unit.server.validation.arbitrary import messages

many = settings(deadline=None, max_examples=80)


def check(request):
    violations = validate(request)
    assert len(violations) <= MAX_VIOLATIONS + 1
    assert all(violation.description for violation in violations)
    assert features_off(request) is not None
    assert to_request(request).model == request.model


@many
@given(messages(chat_pb2.ChatRequest))
def test_no_request_is_too_odd_to_be_judged_and_read(request):
    check(request)


@many
@given(messages(chat_pb2.StreamOptions))
def test_no_option_is_too_odd_to_be_judged(options):
    assert isinstance(validate_stream_options(options), list)


@many
@given(st.binary(max_size=64))
def test_no_bytes_that_parse_are_too_odd(body):
    try:
        request = chat_pb2.ChatRequest.FromString(body)
    except DecodeError:
        return
    check(request)
    assert isinstance(unknown_fields(request), list)
