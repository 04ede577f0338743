import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy_grpc.errors import (
    ContextLengthExceeded,
    CredentialsRejected,
    FieldViolation,
    InvalidRequest,
    ModelNotFound,
    PromptBlocked,
    ProxyError,
    RequestError,
    UnsupportedParameter,
    UpstreamOverloaded,
    UpstreamProtocolError,
    UpstreamQuotaExhausted,
    UpstreamRateLimited,
    UpstreamServerError,
    UpstreamTimeout,
)
from llmproxy_grpc.providers.failures import failure

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def fail(status: int, body: Any = b"", **headers: str) -> ProxyError:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return failure(status, {name.replace("_", "-"): value for name, value in headers.items()}, data, now=NOW)


def openai(message: str = "Something is wrong.", **error: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None, **error}}


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, InvalidRequest),
        (422, InvalidRequest),
        (413, InvalidRequest),
        (401, CredentialsRejected),
        (403, CredentialsRejected),
        (498, CredentialsRejected),
        (402, UpstreamQuotaExhausted),
        (404, ModelNotFound),
        (410, ModelNotFound),
        (408, UpstreamTimeout),
        (409, UpstreamServerError),
        (424, UpstreamServerError),
        (499, UpstreamServerError),
        (429, UpstreamRateLimited),
        (500, UpstreamServerError),
        (501, UpstreamServerError),
        (502, UpstreamServerError),
        (503, UpstreamServerError),
        (504, UpstreamServerError),
        (522, UpstreamServerError),
        (529, UpstreamOverloaded),
        (100, UpstreamProtocolError),
        (200, UpstreamProtocolError),
        (302, UpstreamProtocolError),
        (405, UpstreamProtocolError),
        (418, UpstreamProtocolError),
        (600, UpstreamProtocolError),
        (0, UpstreamProtocolError),
    ],
)
@pytest.mark.parametrize(
    "body", [b"", b"<html><body>502 Bad Gateway</body></html>", b"\xff\x00garbage", b"null", b"[]", b"{"]
)
def test_a_status_alone_names_the_error_whatever_the_body(status, kind, body):
    error = fail(status, body)
    assert type(error) is kind
    assert error.fault.http_status == status
    assert error.fault.message == ""


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, openai(code="context_length_exceeded"), ContextLengthExceeded),
        (400, openai(type="exceed_context_size_error", code=400), ContextLengthExceeded),
        (413, openai("This model's maximum context length is 8192 tokens."), ContextLengthExceeded),
        (400, {"message": "Input is too long for requested model."}, ContextLengthExceeded),
        (422, {"detail": "context length exceeded"}, ContextLengthExceeded),
        (400, openai(code="content_filter"), PromptBlocked),
        (400, openai(code="content_policy_violation"), PromptBlocked),
        (400, openai(code=None, innererror={"code": "ResponsibleAIPolicyViolation"}), PromptBlocked),
        (403, {"error": {"code": 403, "message": "flagged", "metadata": {"reasons": ["violence"]}}}, PromptBlocked),
        (400, openai(code="unsupported_parameter"), UnsupportedParameter),
        (400, openai(code="unsupported_value"), UnsupportedParameter),
        (422, {"detail": [{"type": "extra_forbidden", "loc": ["body", "top_k"], "msg": "no"}]}, UnsupportedParameter),
        (403, openai(code="model_not_found"), ModelNotFound),
        (400, openai(code="model_decommissioned"), ModelNotFound),
        (404, openai(code="DeploymentNotFound"), ModelNotFound),
        (404, {"error": "model 'x' not found"}, ModelNotFound),
        (
            400,
            {"error": {"code": 400, "status": "INVALID_ARGUMENT", "details": [{"reason": "API_KEY_INVALID"}]}},
            CredentialsRejected,
        ),
        (429, openai(code="insufficient_quota"), UpstreamQuotaExhausted),
        (429, openai(type="insufficient_quota"), UpstreamQuotaExhausted),
        (400, openai("Your credit balance is too low to use the API."), UpstreamQuotaExhausted),
        (400, openai("You have reached your specified API usage limits."), UpstreamQuotaExhausted),
        (413, openai(code="rate_limit_exceeded"), UpstreamRateLimited),
        (503, openai("The model is overloaded. Please try again later."), UpstreamOverloaded),
        (503, openai("Loading model", type="unavailable_error", code=503), UpstreamServerError),
        (500, {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, UpstreamOverloaded),
        (500, openai(code="context_length_exceeded"), UpstreamServerError),
    ],
)
def test_a_providers_code_or_words_say_more_than_the_status(status, body, kind):
    assert type(fail(status, body)) is kind


def test_a_per_day_quota_is_not_worth_waiting_for():
    details = [
        {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": "RequestsPerDayPerModel"}]},
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "22s"},
    ]
    error = fail(
        429, [{"error": {"code": 429, "message": "quota", "status": "RESOURCE_EXHAUSTED", "details": details}}]
    )
    assert type(error) is UpstreamQuotaExhausted
    assert error.retry_after is None


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        (openai("Wrong.", code="bad_thing"), "bad_thing", "Wrong."),
        (
            {"object": "error", "message": "Wrong.", "type": "BadRequestError", "param": None, "code": 400},
            "400",
            "Wrong.",
        ),
        ({"detail": "Wrong."}, "", "Wrong."),
        (
            {"detail": [{"loc": ["body", "messages", 0], "msg": "Wrong.", "type": "missing", "input": "a prompt"}]},
            "missing",
            "messages.0: Wrong.",
        ),
        ({"error": "Wrong."}, "", "Wrong."),
        (
            {"type": "error", "error": {"type": "invalid_request_error", "message": "Wrong."}},
            "invalid_request_error",
            "Wrong.",
        ),
        ({"error": {"code": 400, "message": "Wrong.", "status": "INVALID_ARGUMENT"}}, "400", "Wrong."),
        ([{"error": {"code": 400, "message": "Wrong.", "status": "INVALID_ARGUMENT"}}], "400", "Wrong."),
        ({"message": "Wrong."}, "", "Wrong."),
        ({"Message": "Wrong."}, "", "Wrong."),
        (b"upstream connect error", "", "upstream connect error"),
        ({"error": {"message": 5, "code": {"a": 1}, "type": ["x"]}}, "", ""),
        ({"error": {"details": "x", "innererror": 1, "metadata": []}, "detail": 3}, "", ""),
        ({"error": None}, "", ""),
        ({"error": {"details": [1, {"violations": [2], "retryDelay": 3}]}}, "", ""),
    ],
)
def test_every_shape_of_body_gives_code_and_message(body, code, message):
    fault = fail(400, body).fault
    assert (fault.code, fault.message) == (code, message)


@pytest.mark.parametrize(
    "name", ["x_request_id", "request_id", "x_amzn_requestid", "apim_request_id", "x_generation_id"]
)
def test_the_providers_request_id_is_kept_under_every_name(name):
    assert fail(500, **{name: "req_123"}).fault.request_id == "req_123"


def test_a_request_id_of_the_body_is_kept_and_one_that_is_none_is_not():
    assert fail(500, {"error": {"type": "api_error"}, "request_id": "req_1"}).fault.request_id == "req_1"
    assert fail(500, x_request_id="a\nb").fault.request_id == ""
    assert fail(500, x_request_id="x" * 65).fault.request_id == ""


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_credential_carries_none_of_the_providers_text(status):
    error = fail(status, openai("Incorrect API key provided: test-key.", code="invalid_api_key"))
    assert error.fault.message == ""
    assert error.fault.code == "invalid_api_key"
    assert "test-key" not in error.message


@pytest.mark.parametrize(
    ("body", "limit", "requested"),
    [
        (openai(type="exceed_context_size_error", n_ctx=4096, n_prompt_tokens=5000), "4096", "5000"),
        (openai("The model's maximum context length is 8192 tokens. But you requested 9001 tokens."), "8192", "9001"),
        (openai("maximum context length is 8192 tokens. But your messages resulted in 9001 tokens"), "8192", "9001"),
        (openai("prompt is too long: 210000 tokens > 200000 maximum"), "200000", "210000"),
        (openai("The input token count (12) exceeds the maximum number of tokens allowed (10)."), "10", "12"),
    ],
)
def test_a_context_that_is_too_long_says_how_much_fits(body, limit, requested):
    error = fail(400, body)
    assert type(error) is ContextLengthExceeded
    assert error.metadata == {"maxTokens": limit, "requestedTokens": requested}


def test_a_prompt_that_leaves_no_room_for_its_answer_says_how_much_fits_both():
    error = fail(400, openai("input length and `max_tokens` exceed context limit: 190000 + 32000 > 200000, decrease"))
    assert type(error) is ContextLengthExceeded
    assert error.metadata == {"maxTokens": "200000"}


@pytest.mark.parametrize(
    "body",
    [
        openai("maximum context length is " + "1" * 4000),
        openai("prompt is too long: " + "1" * 4000 + " tokens > 200000 maximum"),
        openai("context_length", code="context_length_exceeded", n_ctx=10**4000, n_prompt_tokens=1),
        openai("context_length", code="context_length_exceeded", n_ctx=4096, n_prompt_tokens=True),
    ],
)
def test_what_can_be_no_count_of_tokens_is_not_handed_on_as_one(body):
    error = fail(400, body)
    assert type(error) is ContextLengthExceeded
    assert error.metadata == {}


def test_a_context_without_numbers_claims_none():
    assert fail(400, openai(code="context_length_exceeded")).metadata == {}


def test_a_blocked_prompt_names_the_category():
    result = {"hate": {"filtered": False}, "violence": {"filtered": True, "severity": "high"}}
    error = fail(400, openai(code="content_filter", innererror={"content_filter_result": result}))
    assert error.metadata == {"category": "violence"}


@pytest.mark.parametrize(
    ("parameter", "field"),
    [
        ("temperature", "generation.temperature"),
        ("max_completion_tokens", "generation.max_output_tokens"),
        ("messages.[0].content", "messages"),
        ("messages[3].content", "messages"),
        ("tools[0].function", "tools"),
        ("n", "generation.candidate_count"),
    ],
)
def test_a_wrong_parameter_is_named_by_our_field(parameter, field):
    error = fail(400, openai(param=parameter))
    assert [violation.field for violation in error.violations] == [field]


@pytest.mark.parametrize("parameter", [None, "", "no_such", 5, {}])
def test_a_parameter_without_a_field_of_ours_is_no_violation(parameter):
    assert fail(400, openai(param=parameter)).violations == ()


def test_a_validation_names_its_field():
    error = fail(422, {"detail": [{"type": "extra_forbidden", "loc": ["body", "top_k"], "msg": "no"}]})
    assert error.violations == (FieldViolation("generation.top_k", "The provider does not accept this value."),)


# Errors that come with 200 or within a stream.


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"error": {"code": 429, "message": "slow"}}, UpstreamRateLimited),
        ({"error": {"code": "402", "message": "pay"}}, UpstreamQuotaExhausted),
        ({"error": {"code": "x", "message": "slow", "status_code": 429}}, UpstreamRateLimited),  # Groq
        ({"error": {"message": "The model is over capacity.", "status_code": 503}}, UpstreamOverloaded),
        ({"error": {"code": 429, "message": "slow", "status_code": 503}}, UpstreamRateLimited),
        ({"error": {"message": "oops", "status_code": True}}, UpstreamServerError),
        ({"error": {"message": "oops", "status_code": [429]}}, UpstreamServerError),
        ({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, UpstreamOverloaded),
        ({"error": {"type": "invalid_request_error", "message": "Wrong."}}, InvalidRequest),
        ({"error": {"message": "too long", "code": "context_length_exceeded"}}, ContextLengthExceeded),
        ({"error": {"status": "UNAVAILABLE", "message": "The model is overloaded."}}, UpstreamOverloaded),
        ({"error": {"message": "The server had an error.", "type": "server_error"}}, UpstreamServerError),
        ({"error": "something"}, UpstreamServerError),
        ({"error": {}}, UpstreamServerError),
        ({"type": "error", "code": "server_error", "message": "failed", "param": None}, UpstreamServerError),
        ({"error": {"code": "server_is_overloaded", "message": "x"}}, UpstreamOverloaded),
        ({"error": {"code": "vector_store_timeout", "message": "x"}}, UpstreamTimeout),
        ({"error": {"code": "image_too_large", "message": "x"}}, InvalidRequest),
        ({"error": {"code": "image_content_policy_violation", "message": "x"}}, PromptBlocked),
        ({"answer": 42}, UpstreamProtocolError),
        (b"<html>", UpstreamProtocolError),
    ],
)
def test_an_error_within_a_success_is_the_one_that_it_names(body, kind):
    error = fail(200, body)
    assert type(error) is kind
    assert error.fault.http_status == 200


# Whatever comes.

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["error", "message", "code", "type", "detail", "details", "loc", "innererror", "metadata", "param"]
            )
            | st.text(),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(status=st.integers(0, 700), body=JSON.map(lambda value: json.dumps(value).encode()) | st.binary())
def test_no_answer_whatever_is_more_than_an_error(status, body):
    error = failure(status, {}, body, now=NOW)
    assert isinstance(error, ProxyError)
    assert len(error.fault.message.encode()) <= 256
    assert error.message.isascii()


@given(st.integers(500, 599), st.sampled_from(["context_length_exceeded", "content_filter", "model_not_found", "x"]))
def test_a_failure_of_the_provider_is_never_the_callers_fault(status, code):
    assert not isinstance(fail(status, openai("maximum context length", code=code)), RequestError)


def test_a_message_is_scrubbed_and_short():
    message = fail(500, openai("at https://user:pw@host/x?key=abc\n\x1b[31m" + "ä" * 500)).fault.message
    assert "pw" not in message
    assert "abc" not in message
    assert message.isprintable()
    assert len(message.encode()) <= 256


def test_a_very_deep_or_long_body_does_no_harm():
    assert type(fail(500, b"[" * 100_000)) is UpstreamServerError
    assert type(fail(500, openai("x" * 1_000_000))) is UpstreamServerError


@pytest.mark.parametrize("code", ["tool_use_failed", "json_validate_failed"])
def test_what_the_model_got_wrong_another_one_may_get_right(code):
    said = openai("Failed to call a function. Please adjust your prompt.", code=code, failed_generation="<function=")
    for error in (fail(400, said), fail(200, said), fail(200, {"error": {**said["error"], "status_code": 400}})):
        assert (type(error), error.failover, error.retryable) == (InvalidRequest, True, False)
        assert error.message == "The model made a call or an answer that its provider refuses."
        assert error.fault is not None
        assert error.fault.code == code
    assert not fail(400, openai(code="invalid_value")).failover
    assert not InvalidRequest.failover
