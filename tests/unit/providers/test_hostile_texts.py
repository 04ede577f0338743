"""What providers say is searched in time that grows with its length alone, whatever they say."""

import importlib
import pkgutil
import re
import time
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec.json import encode

from llmproxy_grpc import providers
from llmproxy_grpc.providers.complaint import complaint
from llmproxy_grpc.providers.failures import failure
from llmproxy_grpc.providers.retry_after import duration, retry_after, said_wait
from llmproxy_grpc.providers.scrubbing import identifier, scrubbed

SIZE = 64 * 1024
SECONDS = 1.0
"""Of this process. What is linear takes some milliseconds, what is quadratic half a minute."""
NOW = datetime(2026, 1, 1, tzinfo=UTC)
MODEL_NAMES = {"chat_completions.speech._MODEL", "openai_efforts._EFFORTS", "openai_models._NAME"}
"""They are held against nothing but names of models, which have 256 characters at most."""
MOST_OF_A_NAME = 256

WORDS = [
    *("1", "a", "A", " ", "_", "-", "/", ".", ":", "=", "?", "@", "\t", "\u3000", "\u0661", "\u00e9"),
    *("a ", "a-", "a.", "a/", "a1", "1.", "1m", "1ms", "1s ", "+/", "\\n", "\\ud83d", "data: \n", "data: "),
    *("a://", "://", "a://?", "a://@", "eyJ", "sk-", "api_key", "api-key ", "a token ", "token: '", "bearer "),
    *("amazon.nova", "/us.a.b", "us-", "gpt-4-/", "claude-a", "gemini-", "2026-01-01T"),
    *("try again in ", "try again in 1s", "1 tokens > ", "exceed context limit: 1 + ", "input token count "),
    *("token count (1)", "maximum context length is ", "maximum context length is 1"),
]


def hostile(word: str, size: int = SIZE) -> str:
    """A text of nothing but a word, and of an end that fits no pattern."""
    return (word * (size // len(word) + 1))[:size] + "\n!\0"


def patterns() -> Iterator[tuple[str, re.Pattern[Any]]]:
    """Every pattern that a module of the package has, by itself or in a table, and where."""
    for module in pkgutil.walk_packages(providers.__path__, f"{providers.__name__}."):
        for name, value in vars(importlib.import_module(module.name)).items():
            place = f"{module.name.removeprefix(f'{providers.__name__}.')}.{name}"
            yield from ((place, pattern) for pattern in _within(value))


def _within(value: object) -> Iterator[re.Pattern[Any]]:
    if isinstance(value, re.Pattern):
        yield value
    elif isinstance(value, dict):
        yield from _within((*value.keys(), *value.values()))
    elif isinstance(value, tuple | list | set | frozenset):
        for item in value:
            yield from _within(item)


PATTERNS = sorted(patterns(), key=lambda found: found[0])


@pytest.mark.parametrize(("place", "pattern"), PATTERNS, ids=[place for place, _ in PATTERNS])
def test_every_pattern_takes_linear_time(place, pattern):
    size = MOST_OF_A_NAME if place in MODEL_NAMES else SIZE
    for word in WORDS:
        text = hostile(word, size)
        subject = text.encode() if isinstance(pattern.pattern, bytes) else text
        started = time.process_time()
        deque(pattern.finditer(subject), maxlen=0)
        pattern.fullmatch(subject)
        assert time.process_time() - started < SECONDS, word


def test_the_patterns_of_tables_are_found_as_well():
    tables = {"complaint._TOKENS", "scrubbing._SECRETS", "failure_words.BY_WORDS"}
    assert tables | MODEL_NAMES <= {place for place, _ in PATTERNS}


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("status", [200, 400, 429, 500, 503])
def test_an_error_is_read_in_linear_time(word, status):
    text = hostile(word)
    body = encode({"error": {"message": text, "code": text, "metadata": {"headers": {"retry-after": text}}}})
    started = time.process_time()
    failure(status, {}, body, now=NOW, secrets=["sk-secret"])
    assert time.process_time() - started < SECONDS


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize(
    "read",
    [
        duration,
        said_wait,
        scrubbed,
        identifier,
        lambda text: complaint({"x-request-id": text}, text.encode()),
        lambda text: retry_after({"retry-after": text, "x-ratelimit-reset": text}, NOW, rate_limited=True),
    ],
    ids=["duration", "said_wait", "scrubbed", "identifier", "complaint", "retry_after"],
)
def test_what_reads_a_text_takes_linear_time(word, read):
    text = hostile(word)
    started = time.process_time()
    read(text)
    assert time.process_time() - started < SECONDS
