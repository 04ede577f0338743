"""Which error a provider's answer is: by the codes it names, then by its words, then by its HTTP status."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime

from llmproxy_grpc.errors import (
    ContextLengthExceeded,
    CredentialsRejected,
    Fault,
    FieldViolation,
    InvalidRequest,
    ModelNotFound,
    PromptBlocked,
    ProxyError,
    UnsupportedParameter,
    UpstreamError,
    UpstreamOverloaded,
    UpstreamProtocolError,
    UpstreamQuotaExhausted,
    UpstreamRateLimited,
    UpstreamServerError,
    UpstreamTimeout,
)
from llmproxy_grpc.providers.complaint import Complaint, complaint
from llmproxy_grpc.providers.retry_after import retry_after
from llmproxy_grpc.providers.scrubbing import scrubbed

MESSAGES: Mapping[type[ProxyError], str] = {
    InvalidRequest: "The provider rejects the request.",
    UnsupportedParameter: "The provider does not support a field of the request.",
    ContextLengthExceeded: "Prompt and output do not fit the model's context.",
    PromptBlocked: "The provider's policy blocks the prompt.",
    ModelNotFound: "The provider does not know the model.",
    CredentialsRejected: "The provider rejects the proxy's credential.",
    UpstreamQuotaExhausted: "The proxy's account at the provider has no quota or credit left.",
    UpstreamRateLimited: "The provider limits the proxy's rate.",
    UpstreamOverloaded: "The provider is overloaded.",
    UpstreamServerError: "The provider failed.",
    UpstreamTimeout: "The provider ran out of time.",
    UpstreamProtocolError: "The provider's answer cannot be read.",
}

# Codes are looked up in lower case. One code may come with several statuses, and one status with all of these.
_BY_CODE: Mapping[str, type[ProxyError]] = {
    "context_length_exceeded": ContextLengthExceeded,
    "exceed_context_size_error": ContextLengthExceeded,
    "content_filter": PromptBlocked,
    "content_policy_violation": PromptBlocked,
    "responsibleaipolicyviolation": PromptBlocked,
    "data_inspection_failed": PromptBlocked,
    "invalid_prompt": PromptBlocked,
    "image_content_policy_violation": PromptBlocked,
    "bio_policy": PromptBlocked,
    "cyber_policy": PromptBlocked,
    "misalignment_policy_violation": PromptBlocked,
    "unsupported_parameter": UnsupportedParameter,
    "unsupported_value": UnsupportedParameter,
    "unknown_parameter": UnsupportedParameter,
    "extra_forbidden": UnsupportedParameter,
    "model_not_found": ModelNotFound,
    "invalid_model": ModelNotFound,
    "model_decommissioned": ModelNotFound,
    "deploymentnotfound": ModelNotFound,
    "invalid_api_key": CredentialsRejected,
    "api_key_invalid": CredentialsRejected,
    "authentication_error": CredentialsRejected,
    "insufficient_quota": UpstreamQuotaExhausted,
    "billing_hard_limit_reached": UpstreamQuotaExhausted,
    "billing_not_active": UpstreamQuotaExhausted,
    "billing_error": UpstreamQuotaExhausted,
    "quota_per_day": UpstreamQuotaExhausted,
    "rate_limit_exceeded": UpstreamRateLimited,
    "rate_limit_error": UpstreamRateLimited,
    "throttlingexception": UpstreamRateLimited,
    "modelnotreadyexception": UpstreamRateLimited,
    "servicequotaexceededexception": UpstreamQuotaExhausted,
    "serviceunavailableexception": UpstreamOverloaded,
    "internalserverexception": UpstreamServerError,
    "modelstreamerrorexception": UpstreamServerError,
    "modelerrorexception": UpstreamServerError,
    "modeltimeoutexception": UpstreamTimeout,
    "unrecognizedclientexception": CredentialsRejected,
    "expiredtokenexception": CredentialsRejected,
    "incompletesignatureexception": CredentialsRejected,
    "invalidsignatureexception": CredentialsRejected,
    "resourcenotfoundexception": ModelNotFound,
    "overloaded_error": UpstreamOverloaded,
    "server_is_overloaded": UpstreamOverloaded,
    "capacity_exceeded": UpstreamOverloaded,
    "slow_down": UpstreamOverloaded,
    "vector_store_timeout": UpstreamTimeout,
    # Responses that failed name what was wrong with a picture, and no status.
    **dict.fromkeys(
        (
            "invalid_image",
            "invalid_image_format",
            "invalid_base64_image",
            "invalid_image_url",
            "invalid_image_mode",
            "image_too_large",
            "image_too_small",
            "image_parse_error",
            "image_file_too_large",
            "image_file_not_found",
            "empty_image_file",
            "unsupported_image_media_type",
            "failed_to_download_image",
            "data_residency_mismatch",
        ),
        InvalidRequest,
    ),
}

_BY_STATUS: Mapping[int, type[ProxyError]] = {
    400: InvalidRequest,
    401: CredentialsRejected,
    402: UpstreamQuotaExhausted,
    403: CredentialsRejected,
    404: ModelNotFound,
    408: UpstreamTimeout,
    409: UpstreamServerError,
    410: ModelNotFound,
    413: InvalidRequest,
    422: InvalidRequest,
    424: UpstreamServerError,
    425: UpstreamServerError,
    429: UpstreamRateLimited,
    498: CredentialsRejected,
    499: UpstreamServerError,
    529: UpstreamOverloaded,
}

# For errors that come with 200 or within a stream and name no number.
_STATUS_OF_NAME: Mapping[str, int] = {
    "invalid_request_error": 400,
    "invalid_argument": 400,
    "validationexception": 400,
    "accessdeniedexception": 403,
    "failed_precondition": 400,
    "unauthenticated": 401,
    "permission_error": 403,
    "permission_denied": 403,
    "not_found_error": 404,
    "not_found": 404,
    "request_too_large": 413,
    "resource_exhausted": 429,
    "unavailable": 503,
    "timeout_error": 504,
}

# Where providers have no code for it: statuses, and words that tell apart what shares them.
_BY_WORDS: Sequence[tuple[frozenset[int], re.Pattern[str], type[ProxyError]]] = (
    (
        frozenset({400, 413, 422}),
        re.compile(
            r"(?i)maximum (?:prompt|model) length|context (?:length|window|size|limit)|(?:prompt|input) is too long"
            r"|input token count (?:.{0,40}exceeds|is .{0,40}only supports)|tokens exceeds maximum length"
            r"|maximum input length is|too many input tokens"
            r"|too many tokens: |inputs` tokens \+ `max_new_tokens|range of input length"
        ),
        ContextLengthExceeded,
    ),
    (
        # xAI and Vertex AI refuse by 403 what one caller asks for, which is no word about the credential.
        frozenset({400, 403}),
        re.compile(r"(?i)violates usage guidelines|content exists risk|blocked by content filtering"),
        PromptBlocked,
    ),
    (
        # As whole sentences: a vendor may repeat names that the caller made up, and the account rests for everybody.
        frozenset({400}),
        re.compile(
            r"(?i)\A(?:your credit balance is too low[^:'\"`]*|insufficient balance\.?"
            r"|you have reached your specified api usage limits\.?(?: you will regain access on [-0-9: a-z]*utc\.?)?)\Z"
        ),
        UpstreamQuotaExhausted,
    ),
    (
        frozenset({403, 429}),
        re.compile(
            r"(?i)\Ayou[^:\"`]*(?:used all available credits|have any credits|credits are depleted|calls / month)"
        ),
        UpstreamQuotaExhausted,
    ),
    (
        # Of Bedrock: no such id, one that is called by the id of a profile alone, or one that is not enabled.
        frozenset({400, 403}),
        re.compile(r"(?i)model identifier is invalid|on-demand throughput|have access to the model"),
        ModelNotFound,
    ),
    (
        frozenset({400}),
        re.compile(r"(?i)\Amodel not exist|is not a valid model id\.?\Z|: invalid model name passed in model="),
        ModelNotFound,
    ),
    (
        # Files that the request names, and that are not there or not ours; Google says 403 of both.
        frozenset({403, 404}),
        re.compile(r"(?i)access the file|no such file|file not found|cachedcontent not found|storage\.objects\.get"),
        InvalidRequest,
    ),
    (
        # Of NVIDIA: the model's own servers are in trouble, whatever was asked.
        frozenset({400}),
        re.compile(r"(?i)\Afunction id '[^']{1,64}': degraded function cannot be invoked\Z"),
        UpstreamServerError,
    ),
    (
        frozenset({400}),
        re.compile(
            r"(?i)model doesn.t support|extraneous key|'type': 'extra_forbidden'"
            r"|does not support (?:specifying dimensions|matryoshka|output_dimension)"
        ),
        UnsupportedParameter,
    ),
    (frozenset({503}), re.compile(r"(?i)overloaded|over capacity|high demand"), UpstreamOverloaded),
)
_BY_THE_MODEL = frozenset({"tool_use_failed", "json_validate_failed"})
"""Groq's: its model made a call, or JSON, that it refuses, and calls that the request wrong; another may do better."""
_WRONG_KEY = re.compile(r"(?i)incorrect(?: |%20)api(?: |%20)key")
_XAIS_ARGUMENTS = frozenset({"client specified an invalid argument", "invalid-argument"})
"""xAI's codes for a request that is wrong: a wrong key is one. Words alone could be those of the request."""
_A_DAY = re.compile(r"(?i)too many (?:tokens|requests) per day")

# Our names of what providers call parameters.
_FIELDS: Mapping[str, str] = {
    "model": "model",
    "messages": "messages",
    "contents": "messages",
    "input": "messages",
    "tools": "tools",
    "tool_choice": "tool_choice",
    "parallel_tool_calls": "tool_choice.parallel_tool_calls",
    "max_tokens": "generation.max_output_tokens",
    "max_completion_tokens": "generation.max_output_tokens",
    "max_output_tokens": "generation.max_output_tokens",
    "n": "generation.candidate_count",
    "stop": "generation.stop_sequences",
    "logprobs": "generation.top_logprobs",
    "reasoning_effort": "generation.reasoning.effort",
    "reasoning": "generation.reasoning",
    "text": "generation.response_format",
    "thinking": "generation.reasoning",
    "modalities": "generation.output_modalities",
    "user": "end_user_id",
    "dimensions": "dimensions",
    "input_type": "purpose",
} | {
    name: f"generation.{name}"
    for name in (
        "temperature",
        "top_p",
        "top_k",
        "stop_sequences",
        "seed",
        "presence_penalty",
        "frequency_penalty",
        "top_logprobs",
        "response_format",
        "logit_bias",
    )
}


def failure(
    status: int, headers: Mapping[str, str], body: bytes, *, now: datetime, secrets: Sequence[str] = ()
) -> ProxyError:
    """Gives the error that a provider's answer is.

    For an error that comes with status 200 or as an event of a stream, pass 200 and the event's data.

    Args:
        status: The answer's HTTP status.
        headers: The answer's; names in any case, or in lower case if the mapping tells cases apart.
        body: The answer's, or as much of it as was read.
        now: The wall clock, with a time zone.
        secrets: What the provider may repeat and nobody else may see: our keys to it.
    """
    said = complaint(headers, body)
    kind = _kind(status, headers, said)
    fault = Fault(
        http_status=status,
        code=_unless_secret(said.codes[0], secrets) if said.codes else "",
        # Providers repeat the key that they refuse, or a part of it.
        message="" if issubclass(kind, CredentialsRejected) else scrubbed(said.message, secrets=secrets),
        request_id=_unless_secret(said.request_id, secrets),
    )
    if issubclass(kind, InvalidRequest):
        return _invalid(kind, fault, said)
    wait = _wait(kind, headers, said, now) if issubclass(kind, UpstreamError) and kind.retryable else None
    error = kind(MESSAGES[kind], fault=fault, retry_after=wait, metadata=_metadata(kind, said))
    # OpenAI's and Anthropic's word, which counts more than the status.
    error.again = headers.get("x-should-retry", "").strip().lower() != "false"
    return error


def _invalid(kind: type[InvalidRequest], fault: Fault, said: Complaint) -> InvalidRequest:
    if not any(code.lower() in _BY_THE_MODEL for code in said.codes):
        return kind(MESSAGES[kind], fault=fault, violations=_violations(said))
    # A request that often leads to this must not open the circuit for others.
    error = kind("The model made a call or an answer that its provider refuses.", fault=fault)
    error.failover = True
    return error


def _wait(kind: type[ProxyError], headers: Mapping[str, str], said: Complaint, now: datetime) -> float | None:
    """What the headers ask for, else those that the body tells of, else its words."""
    limited = issubclass(kind, UpstreamRateLimited)
    told = (retry_after(each, now, rate_limited=limited) for each in (headers, said.headers))
    return next((wait for wait in told if wait is not None), said.retry_delay)


def _unless_secret(text: str, secrets: Sequence[str]) -> str:
    return "" if any(secret in text for secret in secrets) else text


def _kind(status: int, headers: Mapping[str, str], said: Complaint) -> type[ProxyError]:
    kind = next((_BY_CODE[code.lower()] for code in said.codes if code.lower() in _BY_CODE), None)
    if kind is UpstreamRateLimited and _A_DAY.search(said.message):
        return UpstreamQuotaExhausted
    # A caller's mistake is none if the provider says that it failed itself.
    if kind is not None and (status < 500 or issubclass(kind, UpstreamError)):
        return kind
    status = _status(status, said)
    kind = _by_words(status, headers, said) or _BY_STATUS.get(status)
    if kind is not None:
        return kind
    return UpstreamServerError if 500 <= status < 600 else UpstreamProtocolError


def _status(status: int, said: Complaint) -> int:
    """The status that the answer should have had."""
    if not 200 <= status < 300 or not said.present:
        return status
    named = (_STATUS_OF_NAME[code.lower()] for code in said.codes if code.lower() in _STATUS_OF_NAME)
    return said.status or next(named, 500)


def _by_words(status: int, headers: Mapping[str, str], said: Complaint) -> type[ProxyError] | None:
    if status == 403 and said.category:
        return PromptBlocked
    if status == 400 and _WRONG_KEY.match(said.message) and any(code.lower() in _XAIS_ARGUMENTS for code in said.codes):
        return CredentialsRejected
    if status == 404 and said.parameter not in {"", "model"}:
        return InvalidRequest
    if status == 503 and "retry-after" in headers:
        return UpstreamOverloaded
    return next(
        (kind for statuses, words, kind in _BY_WORDS if status in statuses and words.search(said.message)), None
    )


def _violations(said: Complaint) -> tuple[FieldViolation, ...]:
    """The wrong field by our name for it; a parameter that we have no name for is in the provider's message."""
    field = _FIELDS.get(re.split(r"[.\[]", said.parameter, maxsplit=1)[0])
    return (FieldViolation(field, "The provider does not accept this value."),) if field else ()


def _metadata(kind: type[ProxyError], said: Complaint) -> dict[str, str]:
    if issubclass(kind, ContextLengthExceeded):
        known = {"maxTokens": said.limit, "requestedTokens": said.requested}
    elif issubclass(kind, PromptBlocked):
        known = {"category": said.category}
    else:
        known = {}
    return {name: value for name, value in known.items() if value}
