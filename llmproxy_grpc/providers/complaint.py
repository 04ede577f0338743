"""What a provider says when it fails, read out of any of the bodies that providers send."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from llmproxy_grpc.errors import UpstreamProtocolError
from llmproxy_grpc.providers.jsonio import decode_whole
from llmproxy_grpc.providers.retry_after import duration, said_wait
from llmproxy_grpc.providers.scrubbing import identifier

_ANYTHING: msgspec.json.Decoder[Any] = msgspec.json.Decoder()
_READ_AT_MOST = 65536
_MESSAGE_AT_MOST = 16384
"""Characters: what comes as an event, or behind the status 200, can be many megabytes."""
_HEADER_AT_MOST = 256
_REQUEST_IDS = ("x-request-id", "request-id", "x-amzn-requestid", "apim-request-id", "x-generation-id")
# Tried once for each run of digits, not from each of its digits: a message may be nothing else.
_LIMIT = r"(?P<limit>[0-9]{1,10})(?![0-9])"
_REQUESTED = r"(?P<requested>[0-9]{1,10})(?![0-9])"
_TOKENS = (
    re.compile(rf"(?<![0-9]){_REQUESTED} tokens > {_LIMIT} maximum"),
    re.compile(rf"exceed context limit: [0-9]{{1,10}} \+ [0-9]{{1,10}} > {_LIMIT}(?P<requested>)"),
    re.compile(rf"token count \({_REQUESTED}\)[^()]{{0,256}}\({_LIMIT}\)"),
    re.compile(rf"token count is {_REQUESTED}[^0-9]{{0,256}}?up to {_LIMIT}"),
    re.compile(rf"\(length {_REQUESTED}\)[^0-9]{{0,256}}?maximum model length of {_LIMIT}"),
    re.compile(rf"cannot exceed {_LIMIT} - received {_REQUESTED}"),
    re.compile(
        rf"maximum (?:context|prompt) length (?:is|of) {_LIMIT}"
        rf"[^0-9]{{0,256}}?(?:requested|resulted in|contains) {_REQUESTED}"
    ),
    re.compile(rf"maximum (?:context|prompt) length (?:is|of) {_LIMIT}(?P<requested>)"),
)
_MOST_TOKENS = 10**10


class Complaint(msgspec.Struct, frozen=True):
    """A provider's error object, whatever its shape; nothing in it is scrubbed but the identifiers."""

    present: bool = False
    """Whether there is an error object at all."""
    message: str = ""
    """What it says, of at most 16,384 characters."""
    codes: tuple[str, ...] = ()
    """Everything that names the error, the most specific first, in the provider's spelling."""
    status: int = 0
    """The HTTP status that the body names, as it does when an error comes with 200 or within a stream."""
    parameter: str = ""
    """The wrong parameter, in the provider's words."""
    category: str = ""
    """What a content filter found."""
    limit: str = ""
    requested: str = ""
    """The tokens that fit the context, and those that were asked for, as digits."""
    retry_delay: float | None = None
    headers: Mapping[str, str] = {}
    """Of the answer of who stands behind the provider, names in lower case."""
    request_id: str = ""


def complaint(headers: Mapping[str, str], body: bytes) -> Complaint:
    """Reads the error out of an answer, or out of one event of a stream; never raises."""
    document = _json(body)
    if isinstance(document, list) and document:
        document = document[0]
    if not isinstance(document, dict):
        text = document if isinstance(document, str) else _plain_text(body) if document is None else ""
        return Complaint(message=text[:_MESSAGE_AT_MOST], codes=_amazon(headers, {}), request_id=request_id(headers))
    error = _error(document)
    message = _first_text(error, "message", "Message", "detail", "error", "msg")[:_MESSAGE_AT_MOST]
    limit, requested = _tokens(error, message)
    return Complaint(
        present=bool(message) or "error" in document,
        message=message,
        codes=(*_amazon(headers, error), *_codes(error)),
        status=_status(error),
        parameter=_first_text(error, "param", "parameter"),
        category=_category(error),
        limit=limit,
        requested=requested,
        retry_delay=_retry_delay(error, message),
        headers=_headers(error),
        request_id=request_id(headers) or identifier(document.get("request_id")),
    )


def request_id(headers: Mapping[str, str]) -> str:
    """The provider's own id of a request, out of the headers of its answer; empty if it gives none."""
    for name in _REQUEST_IDS:
        value = headers.get(name)
        if value is not None and (found := identifier(value)):
            return found
    return ""


def _json(body: bytes) -> Any:
    try:
        return decode_whole(body, _ANYTHING)
    except UpstreamProtocolError:
        return None


def _plain_text(body: bytes) -> str:
    """A page of HTML says nothing; a line of text does."""
    text = body[:_READ_AT_MOST].decode("utf-8", "replace").strip()
    return "" if text == "null" or text.startswith(("<", "{", "[")) or "\ufffd" in text else text


def _error(document: dict[str, Any]) -> dict[str, Any]:
    """The object that has code and message, as most providers wrap it and some do not."""
    error = document.get("error")
    if isinstance(error, dict):
        return error
    feedback = document.get("promptFeedback")
    if isinstance(feedback, dict):
        return _blocked(feedback)
    detail = document.get("detail")
    if isinstance(detail, list) and detail and isinstance(detail[0], dict):
        return _validation(detail[0])
    if isinstance(detail, dict):
        return detail
    return document


def _blocked(feedback: dict[str, Any]) -> dict[str, Any]:
    """Google's: an answer without a candidate, which is no error by its status."""
    reason = feedback.get("blockReason")
    return {
        "message": feedback.get("blockReasonMessage"),
        "code": reason,
        "type": "content_filter",
        "metadata": {"reasons": [reason]},
    }


def _validation(fault: dict[str, Any]) -> dict[str, Any]:
    """FastAPI's: where the fault is and what is wrong; its `input` may be somebody's prompt and stays out."""
    place = [str(step) for step in _list(fault.get("loc")) if isinstance(step, str | int) and step != "body"]
    text = _first_text(fault, "msg")
    return {
        "message": f"{'.'.join(place)}: {text}" if place else text,
        "type": fault.get("type"),
        "param": ".".join(place),
    }


def _first_text(error: dict[str, Any], *names: str) -> str:
    return next((value for name in names if isinstance(value := error.get(name), str) and value), "")


def _codes(error: dict[str, Any]) -> tuple[str, ...]:
    inner = error.get("innererror")
    details = error.get("details")
    candidates = [
        inner.get("code") if isinstance(inner, dict) else None,
        details.get("error_code") if isinstance(details, dict) else None,
        *(detail.get("reason") for detail in _details(error)),
        *(
            "quota_per_day"
            for detail in _details(error)
            for violation in _list(detail.get("violations"))
            if isinstance(violation, dict) and "PerDay" in _first_text(violation, "quotaId")
        ),
        error.get("code"),
        error.get("status"),
        error.get("type"),
    ]
    return tuple(code for candidate in candidates if (code := identifier(candidate)) and code != "error")


def _amazon(headers: Mapping[str, str], error: dict[str, Any]) -> tuple[str, ...]:
    """The type of an error of AWS: `ThrottlingException:http://…` in a header, or `com.amazon…#ThrottlingException`."""
    told = headers.get("x-amzn-errortype") or _first_text(error, "__type")
    code = identifier(told.rpartition("#")[2].partition(":")[0])
    return (code,) if code else ()


def _status(error: dict[str, Any]) -> int:
    for code in (error.get("code"), error.get("status_code")):
        digits = int(code) if isinstance(code, str) and re.fullmatch(r"[0-9]{3}", code) else code
        if isinstance(digits, int) and 400 <= digits <= 599:
            return digits
    return 0


def _category(error: dict[str, Any]) -> str:
    inner = error.get("innererror")
    results = inner.get("content_filter_result") if isinstance(inner, dict) else None
    if isinstance(results, dict):
        for name, result in results.items():
            if isinstance(result, dict) and result.get("filtered") is True:
                return identifier(name)
    metadata = error.get("metadata")
    reasons = _list(metadata.get("reasons")) if isinstance(metadata, dict) else []
    return identifier(reasons[0]) if reasons else ""


def _tokens(error: dict[str, Any], message: str) -> tuple[str, str]:
    limit, requested = error.get("n_ctx"), error.get("n_prompt_tokens")
    if _is_amount(limit) and _is_amount(requested):
        return str(limit), str(requested)
    for pattern in _TOKENS:
        if found := pattern.search(message):
            return found["limit"], found["requested"]
    return "", ""


def _is_amount(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MOST_TOKENS


def _retry_delay(error: dict[str, Any], message: str) -> float | None:
    """The wait that the body names, in a field or, where errors come without headers, in words."""
    delays = (detail.get("retryDelay") for detail in _details(error))
    named = next((duration(delay) for delay in delays if isinstance(delay, str)), None)
    if named is not None:
        return named
    return said_wait(message)


def _headers(error: dict[str, Any]) -> Mapping[str, str]:
    """OpenRouter's: it hands on the limits of the vendor behind it, or tells its own, within the body."""
    metadata = error.get("metadata")
    headers = metadata.get("headers") if isinstance(metadata, dict) else None
    if not isinstance(headers, dict):
        return {}
    # No wait takes as much to say.
    return {
        name.lower(): str(value)[:_HEADER_AT_MOST]
        for name, value in headers.items()
        if isinstance(value, str | int | float)
    }


def _details(error: dict[str, Any]) -> Iterator[dict[str, Any]]:
    return (detail for detail in _list(error.get("details")) if isinstance(detail, dict))


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
