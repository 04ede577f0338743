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
from llmproxy_grpc.providers.failure_words import (
    A_DAY,
    BY_CODE,
    BY_STATUS,
    BY_THE_MODEL,
    BY_WORDS,
    FIELDS,
    STATUS_OF_NAME,
    WRONG_KEY,
    XAIS_ARGUMENTS,
)
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
    if not any(code.lower() in BY_THE_MODEL for code in said.codes):
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
    kind = next((BY_CODE[code.lower()] for code in said.codes if code.lower() in BY_CODE), None)
    if kind is UpstreamRateLimited and A_DAY.search(said.message):
        return UpstreamQuotaExhausted
    # A caller's mistake is none if the provider says that it failed itself.
    if kind is not None and (status < 500 or issubclass(kind, UpstreamError)):
        return kind
    status = _status(status, said)
    kind = _by_words(status, headers, said) or BY_STATUS.get(status)
    if kind is not None:
        return kind
    return UpstreamServerError if 500 <= status < 600 else UpstreamProtocolError


def _status(status: int, said: Complaint) -> int:
    """The status that the answer should have had."""
    if not 200 <= status < 300 or not said.present:
        return status
    named = (STATUS_OF_NAME[code.lower()] for code in said.codes if code.lower() in STATUS_OF_NAME)
    return said.status or next(named, 500)


def _by_words(status: int, headers: Mapping[str, str], said: Complaint) -> type[ProxyError] | None:
    if status == 403 and said.category:
        return PromptBlocked
    if status == 400 and WRONG_KEY.match(said.message) and any(code.lower() in XAIS_ARGUMENTS for code in said.codes):
        return CredentialsRejected
    if status == 404 and said.parameter not in {"", "model"}:
        return InvalidRequest
    if status == 503 and "retry-after" in headers:
        return UpstreamOverloaded
    return next((kind for statuses, words, kind in BY_WORDS if status in statuses and words.search(said.message)), None)


def _violations(said: Complaint) -> tuple[FieldViolation, ...]:
    """The wrong field by our name for it; a parameter that we have no name for is in the provider's message."""
    field = FIELDS.get(re.split(r"[.\[]", said.parameter, maxsplit=1)[0])
    return (FieldViolation(field, "The provider does not accept this value."),) if field else ()


def _metadata(kind: type[ProxyError], said: Complaint) -> dict[str, str]:
    if issubclass(kind, ContextLengthExceeded):
        known = {"maxTokens": said.limit, "requestedTokens": said.requested}
    elif issubclass(kind, PromptBlocked):
        known = {"category": said.category}
    else:
        known = {}
    return {name: value for name, value in known.items() if value}
