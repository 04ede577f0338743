"""Log probabilities, in OpenAI's shape and in the older one of parallel lists."""

from collections.abc import Iterable
from typing import Any

from llmproxy_grpc.messages import TokenLogprob
from llmproxy_grpc.providers.counts import real


def read_positions(entries: Any) -> tuple[TokenLogprob, ...]:
    """Reads a list of positions, as OpenAI and those who follow it write them; what is none is left out."""
    return _positions(_list(entries))


def read_logprobs(raw: Any) -> tuple[TokenLogprob, ...]:
    """Reads a choice's `logprobs`: those of the text, then those of a refusal; empty if there are none."""
    if not isinstance(raw, dict):
        return ()
    entries = [*_list(raw.get("content")), *_list(raw.get("refusal"))]
    if entries:
        return _positions(entries)
    return tuple(
        TokenLogprob(token, logprob)
        for token, told in zip(_list(raw.get("tokens")), _list(raw.get("token_logprobs")), strict=False)
        if isinstance(token, str) and (logprob := real(told)) is not None
    )


def _positions(entries: Iterable[Any]) -> tuple[TokenLogprob, ...]:
    return tuple(
        _position(entry, logprob)
        for entry in entries
        if isinstance(entry, dict) and (logprob := real(entry.get("logprob"))) is not None
    )


def _position(entry: dict[str, Any], logprob: float) -> TokenLogprob:
    token = entry.get("token")
    top = entry.get("top_logprobs")
    return TokenLogprob(
        token if isinstance(token, str) else "",
        logprob,
        _token_bytes(entry.get("bytes")),
        _positions(top) if isinstance(top, list) else (),
    )


def _token_bytes(raw: Any) -> bytes:
    if not isinstance(raw, list):
        return b""
    try:
        return bytes(raw)
    except (TypeError, ValueError):
        return b""


def _list(raw: Any) -> list[Any]:
    return raw if isinstance(raw, list) else []
