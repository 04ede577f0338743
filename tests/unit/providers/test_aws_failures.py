"""Errors of AWS: their types stand in a header or in the body, and do not tell everything apart."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from llmproxy_grpc.errors import (
    ContextLengthExceeded,
    CredentialsRejected,
    ModelNotFound,
    ProxyError,
    UnsupportedParameter,
    UpstreamQuotaExhausted,
    UpstreamRateLimited,
)
from llmproxy_grpc.providers.failures import failure

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def fail(status: int, body: Any, **headers: str) -> ProxyError:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return failure(status, named, json.dumps(body).encode(), now=NOW)


def test_amazon_names_the_error_in_a_header():
    error = fail(400, {"message": "Slow down."}, x_amzn_errortype="ThrottlingException:http://internal/")
    assert type(error) is UpstreamRateLimited
    assert (error.fault.code, error.fault.message) == ("ThrottlingException", "Slow down.")


def test_amazon_may_name_the_error_in_the_body():
    error = fail(400, {"__type": "com.amazon.coral.service#ThrottlingException", "message": "Slow down."})
    assert type(error) is UpstreamRateLimited
    assert error.fault.code == "ThrottlingException"


@pytest.mark.parametrize(
    ("status", "code", "message", "kind"),
    [
        (400, "ValidationException", "The provided model identifier is invalid.", ModelNotFound),
        (
            400,
            "ValidationException",
            "Invocation of model ID a.b with on-demand throughput isn\u2019t supported. Retry with a profile.",
            ModelNotFound,
        ),
        (
            403,
            "AccessDeniedException",
            "You don't have access to the model with the model ID.",
            ModelNotFound,
        ),
        (
            403,
            "AccessDeniedException",
            "User: x may not perform: bedrock:InvokeModel",
            CredentialsRejected,
        ),
        (400, "ValidationException", "This model doesn\u2019t support tool use.", UnsupportedParameter),
        (400, "ValidationException", "Malformed input: extraneous key [top_k] is not permitted", UnsupportedParameter),
        (400, "ValidationException", "Input is too long for requested model.", ContextLengthExceeded),
        (400, "IncompleteSignatureException", "Authorization header requires 'Signature'", CredentialsRejected),
        (429, "ThrottlingException", "Too many requests, please wait before trying again.", UpstreamRateLimited),
        (429, "ThrottlingException", "Too many tokens per day, please wait.", UpstreamQuotaExhausted),
    ],
)
def test_bedrock_says_in_words_what_its_types_of_errors_do_not_tell_apart(status, code, message, kind):
    assert type(fail(status, {"message": message}, x_amzn_errortype=code)) is kind
