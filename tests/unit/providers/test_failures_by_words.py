"""Errors that their vendors tell by words alone: the same status, or the same code, stands for several of them."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from llmproxy_grpc.errors import (
    ContextLengthExceeded,
    CredentialsRejected,
    InvalidRequest,
    ModelNotFound,
    PromptBlocked,
    ProxyError,
    UnsupportedParameter,
    UpstreamOverloaded,
    UpstreamQuotaExhausted,
    UpstreamRateLimited,
    UpstreamServerError,
)
from llmproxy_grpc.providers.failures import failure

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TEAM = "2f6e9c1a-0b7d-4f58-9a3e-5d1c7b8e4f60"


def fail(status: int, body: Any, **headers: str) -> ProxyError:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return failure(status, named, json.dumps(body).encode(), now=NOW)


def openai(message: str, **error: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None, **error}}


def google(status: int, name: str, message: str) -> dict[str, Any]:
    return {"error": {"code": status, "message": message, "status": name}}


def xai(code: str, message: str) -> dict[str, Any]:
    return {"code": code, "error": message}


def nvidia(detail: str) -> dict[str, Any]:
    return {"status": 400, "title": "Bad Request", "detail": detail}


FORBIDDEN = "The caller does not have permission to execute the specified operation"
SPENT = f"Your team {TEAM} has either used all available credits or reached its monthly spending limit."


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        # What one caller asks for must not bench a credential that serves them all.
        (403, xai(FORBIDDEN, "Content violates usage guidelines. Failed check: SAFETY_CHECK_TYPE_BIO"), PromptBlocked),
        (403, xai("permission-denied", "Content violates usage guidelines. "), PromptBlocked),
        (
            403,
            google(403, "PERMISSION_DENIED", "You do not have permission to access the File abc or it may not exist."),
            InvalidRequest,
        ),
        (403, google(403, "PERMISSION_DENIED", "CachedContent not found (or permission denied)"), InvalidRequest),
        (
            403,
            google(403, "PERMISSION_DENIED", "x does not have storage.objects.get access to the object."),
            InvalidRequest,
        ),
        (403, xai("permission-denied", "Access to the chat endpoint is denied."), CredentialsRejected),
        (403, google(403, "PERMISSION_DENIED", "The caller does not have permission"), CredentialsRejected),
        # Groq's status for a tier that is full, which is Cohere's for a token that is none.
        (498, openai("Flex tier capacity exceeded.", code="capacity_exceeded"), UpstreamOverloaded),
        (498, {"message": "invalid api token"}, CredentialsRejected),
        # A model whose servers are in trouble, as if the request were wrong.
        (
            400,
            nvidia("Function id '87ea0ddc-cff1-4bca-bf8b-3bd98a35ddd0': DEGRADED function cannot be invoked"),
            UpstreamServerError,
        ),
        (
            400,
            nvidia("Value error, Function id 'x': DEGRADED function cannot be invoked, is no message"),
            InvalidRequest,
        ),
        # Inputs of Embed that are too long, and models whose vectors have one length.
        (400, openai("Invalid 'input[31]': maximum input length is 8192 tokens."), ContextLengthExceeded),
        (
            400,
            {"message": "400 Bad Request: Too many input tokens. Max input tokens: 8192, request input token count: 9"},
            ContextLengthExceeded,
        ),
        (400, openai("This model does not support specifying dimensions."), UnsupportedParameter),
        (
            400,
            openai(
                'Model "bge-m3" does not support matryoshka representation, changing output dimensions will lead to …'
            ),
            UnsupportedParameter,
        ),
        (
            400,
            nvidia("It is incorrect. detail={'type': 'extra_forbidden', 'loc': ('body', 'dimensions'), 'input': 1024}"),
            UnsupportedParameter,
        ),
        # A key that is refused as if the request were wrong.
        (
            400,
            xai("Client specified an invalid argument", "Incorrect API key provided: te***ey."),
            CredentialsRejected,
        ),
        (400, openai("incorrect api key provided: Extra inputs are not permitted"), InvalidRequest),
        (400, google(400, "INVALID_ARGUMENT", "Incorrect API key provided."), InvalidRequest),
        # An account without money, by statuses that stand for something else as well.
        (403, xai("permission-denied", SPENT), UpstreamQuotaExhausted),
        (403, xai(FORBIDDEN, "Your newly created team doesn't have any credits yet."), UpstreamQuotaExhausted),
        (429, xai("Some resource has been exhausted", SPENT), UpstreamQuotaExhausted),
        (429, google(429, "RESOURCE_EXHAUSTED", "Your prepayment credits are depleted."), UpstreamQuotaExhausted),
        (
            429,
            {"message": "You are using a Trial key, which is limited to 1000 API calls / month."},
            UpstreamQuotaExhausted,
        ),
        (
            429,
            {"message": "You are using a Trial key, which is limited to 20 API calls / minute."},
            UpstreamRateLimited,
        ),
        (
            400,
            openai(
                "You have reached your specified API usage limits. You will regain access on 2026-02-01 at 00:00 UTC."
            ),
            UpstreamQuotaExhausted,
        ),
        (400, openai("Insufficient balance"), UpstreamQuotaExhausted),
        # The same words where a vendor repeats what the caller wrote: nobody else's calls may rest for them.
        (400, openai("options.Your credit balance is too low: Extra inputs are not permitted"), InvalidRequest),
        (400, openai("Your credit balance is too low: Extra inputs are not permitted"), InvalidRequest),
        (400, openai("Insufficient balance: Extra inputs are not permitted"), InvalidRequest),
        (400, openai("You have reached your specified API usage limits.: unknown field"), InvalidRequest),
        (400, openai("Unrecognized request argument supplied: credit balance is too low"), InvalidRequest),
        (
            403,
            xai("permission-denied", "Failed check: used all available credits. Content violates usage guidelines."),
            PromptBlocked,
        ),
        (429, openai("Too many requests for 'credits are depleted'"), UpstreamRateLimited),
        # What a policy blocks.
        (400, openai("Content Exists Risk", code="invalid_request_error"), PromptBlocked),
        (
            400,
            {"error": {"type": "invalid_request_error", "message": "Output blocked by content filtering policy"}},
            PromptBlocked,
        ),
    ],
)
def test_words_tell_apart_what_shares_a_status(status, body, kind):
    assert type(fail(status, body)) is kind


@pytest.mark.parametrize(
    ("body", "limit", "requested"),
    [
        (
            xai("invalid", "This model's maximum prompt length is 131072 but the request contains 136973 tokens."),
            "131072",
            "136973",
        ),
        (
            google(
                400,
                "INVALID_ARGUMENT",
                "Unable to submit: the input token count is 1251952 but model only supports up to 1048576.",
            ),
            "1048576",
            "1251952",
        ),
        (
            openai("The decoder prompt (length 21535) is longer than the maximum model length of 16384."),
            "16384",
            "21535",
        ),
        (
            {"message": "too many tokens: total number of tokens in the prompt cannot exceed 4081 - received 5083."},
            "4081",
            "5083",
        ),
        ({"message": "too many tokens: size limit exceeded by 11326 tokens. Try shorter inputs."}, "", ""),
        ({"message": "Input Tokens Exceeded: Number of input tokens exceeds maximum length."}, "", ""),
        (openai("`inputs` tokens + `max_new_tokens` must be <= 4097. Given: 80125 `inputs` tokens"), "", ""),
        (openai("Range of input length should be [1, 258048]"), "", ""),
    ],
)
def test_a_prompt_that_is_too_long_is_known_in_every_vendors_words(body, limit, requested):
    error = fail(400, body)
    assert type(error) is ContextLengthExceeded
    told = {"maxTokens": limit, "requestedTokens": requested}
    assert error.metadata == {name: value for name, value in told.items() if value}


def test_bedrock_says_so_within_a_stream_as_well():
    message = (
        "The model returned the following errors: Input Tokens Exceeded: Number of input tokens exceeds maximum length."
    )
    assert type(fail(200, {"error": {"code": "validationException", "message": message}})) is ContextLengthExceeded


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (openai("No such File object: file-abc"), InvalidRequest),
        ({"error": {"type": "not_found_error", "message": "File not found: file_abc"}}, InvalidRequest),
        (
            openai(
                "Previous response with id 'resp_1' not found.",
                param="previous_response_id",
                code="previous_response_not_found",
            ),
            InvalidRequest,
        ),
        (openai("Item with id 'rs_1' not found.", param="input"), InvalidRequest),
        (
            openai("The model `x` does not exist or is not yours.", code="model_not_found"),
            ModelNotFound,
        ),
        (openai("The model `x` does not exist.", param="model"), ModelNotFound),
        ({"error": {"type": "not_found_error", "message": "model: claude-x"}}, ModelNotFound),
        (google(404, "NOT_FOUND", "models/x is not found for API version v1beta"), ModelNotFound),
        (openai("No endpoints found that support tool use."), ModelNotFound),
    ],
)
def test_what_is_not_found_is_a_model_unless_it_is_said_to_be_something_else(body, kind):
    assert type(fail(404, body)) is kind


@pytest.mark.parametrize(
    "body",
    [
        openai("Model Not Exist", code="invalid_request_error"),  # DeepSeek
        {"error": {"message": "acme/gpt-x is not a valid model ID", "code": 400}},  # OpenRouter
        openai(  # LiteLLM
            "{'error': '/chat/completions: Invalid model name passed in model=x. Call `/v1/models` to view models.'}",
            code="400",
        ),
        {"detail": {"error": "/chat/completions: Invalid model name passed in model=x"}},
    ],
)
def test_a_model_that_is_not_there_may_come_as_a_wrong_request(body):
    assert type(fail(400, body)) is ModelNotFound


def test_a_refusal_that_names_our_account_tells_nobody_its_ids():
    said = f"Content violates usage guidelines. Team: {TEAM}, API key ID: {TEAM}, Model: m, Failed check: X"
    message = fail(403, xai(FORBIDDEN, said)).fault.message
    assert message.startswith("Content violates usage guidelines.")
    assert TEAM not in message
