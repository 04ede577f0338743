"""Log probabilities, in Google's shape."""

from collections.abc import Iterator
from typing import Any

from llmproxy_grpc.messages import TokenLogprob
from llmproxy_grpc.providers.counts import real


def read_logprobs(raw: Any) -> tuple[TokenLogprob, ...]:
    """Reads a candidate's `logprobsResult`; empty if there are none."""
    if not isinstance(raw, dict):
        return ()
    chosen = raw.get("chosenCandidates")
    steps = raw.get("topCandidates")
    tops = [tuple(_tokens(step.get("candidates"))) if isinstance(step, dict) else () for step in _list(steps)]
    return tuple(
        TokenLogprob(token.token, token.logprob, top=tops[index] if index < len(tops) else ())
        for index, token in enumerate(_tokens(chosen))
    )


def _tokens(entries: Any) -> Iterator[TokenLogprob]:
    for entry in _list(entries):
        logprob = real(entry.get("logProbability")) if isinstance(entry, dict) else None
        if logprob is not None:
            token = entry.get("token")
            yield TokenLogprob(token if isinstance(token, str) else "", logprob)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
