"""What the codes, words and statuses of vendors' errors mean, as rows of data: a new word of theirs is a row here."""

import re
from collections.abc import Mapping, Sequence

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
    UpstreamTimeout,
)

# Codes are looked up in lower case. One code may come with several statuses, and one status with all of these.
BY_CODE: Mapping[str, type[ProxyError]] = {
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

BY_STATUS: Mapping[int, type[ProxyError]] = {
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
STATUS_OF_NAME: Mapping[str, int] = {
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
BY_WORDS: Sequence[tuple[frozenset[int], re.Pattern[str], type[ProxyError]]] = (
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
BY_THE_MODEL = frozenset({"tool_use_failed", "json_validate_failed"})
"""Groq's: its model made a call, or JSON, that it refuses, and calls that the request wrong; another may do better."""
WRONG_KEY = re.compile(r"(?i)incorrect(?: |%20)api(?: |%20)key")
"""How a refusal of our key begins that has one of `XAIS_ARGUMENTS` for its code."""
XAIS_ARGUMENTS = frozenset({"client specified an invalid argument", "invalid-argument"})
"""xAI's codes for a request that is wrong: a wrong key is one. Words alone could be those of the request."""
A_DAY = re.compile(r"(?i)too many (?:tokens|requests) per day")
"""A limit of the rate that is one of the day: waiting a little does not help."""

# Our names of what providers call parameters.
FIELDS: Mapping[str, str] = {
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
