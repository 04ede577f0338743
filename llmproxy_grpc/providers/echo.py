"""The kind for tests: answers with the words it was asked, without any model behind it."""

import asyncio
import math
import re
from array import array
from collections import Counter
from collections.abc import AsyncGenerator, Iterator, Sequence
from itertools import islice
from typing import Self
from zlib import crc32

from msgspec import Struct

from llmproxy_grpc.config.schema import ProviderConfig
from llmproxy_grpc.errors import ModelNotFound
from llmproxy_grpc.messages import (
    Candidate,
    CandidateFinish,
    ChatRequest,
    EmbedPurpose,
    EmbedRequest,
    EmbedResponse,
    FinishReason,
    Message,
    ProviderResponse,
    Role,
    StreamEvent,
    TextDelta,
    TextPart,
    UpstreamEnd,
    UpstreamStart,
    Usage,
    UsageSource,
)
from llmproxy_grpc.providers.adaptation import adapt
from llmproxy_grpc.providers.features import PLAIN_SETTINGS, EmbedFeatures, Features
from llmproxy_grpc.providers.http import HttpClient
from llmproxy_grpc.providers.provider import Adapted, UpstreamModel

MODEL = "echo"
DIMENSIONS = 64

_FEATURES = Features(
    names=("echo",),
    opaque=frozenset(),
    message_name=True,
    cache_hints=True,
    result_errors=True,
    settings=frozenset(PLAIN_SETTINGS) - {"top_logprobs"},
    max_stop_sequences=1000,
    many_candidates=True,
    embed=EmbedFeatures(dimensions=True, purposes=frozenset(EmbedPurpose)),
    count_tokens=True,
)

# A word keeps the space before it; the space at the very end stays with the last word.
_WORD = re.compile(r"\s*\S+(?:\s+\Z)?|\s+")


class _Answer(Struct, frozen=True):
    text: str
    finish_reason: FinishReason = FinishReason.STOP
    stop: str = ""


class EchoProvider:
    """Answers the last user text, streamed one word a delta; its usage counts words.

    It honours `max_output_tokens` (in words), `stop_sequences` and `candidate_count` (equal candidates). Sampling
    settings hold by themselves, as there is nothing to sample. A text's vector is its words, each counted at the place
    that its CRC-32 gives, scaled to length 1: the same for the same words, and nearer the more words are shared.

    Args:
        name: The configured name.
    """

    kind = "echo"

    def __init__(self, name: str) -> None:
        self.name = name

    @classmethod
    def from_config(cls, config: ProviderConfig, http: HttpClient) -> Self:  # noqa: ARG003 - every kind's signature
        """Builds the provider; nothing but its name is configurable."""
        return cls(config.name)

    def features(self, upstream_model: str) -> Features:  # noqa: ARG002 - as above
        """What an echo honours; sampling changes nothing where nothing is sampled."""
        return _FEATURES

    def adapt(self, request: ChatRequest, upstream_model: str) -> Adapted:
        """Leaves out the set fields that an answer of repeated words would ignore."""
        return adapt(request, self.features(upstream_model))

    async def chat(self, request: ChatRequest, upstream_model: str) -> ProviderResponse:
        """Answers in one piece.

        Raises:
            ModelNotFound: The model is not `echo`.
        """
        _check(upstream_model)
        answer = _answer(request)
        message = Message(role=Role.ASSISTANT, parts=(TextPart(text=answer.text),) if answer.text else ())
        candidates = tuple(
            Candidate(
                index=index,
                message=message,
                finish_reason=answer.finish_reason,
                matched_stop_sequence=answer.stop,
            )
            for index in range(_candidate_count(request))
        )
        return ProviderResponse(candidates=candidates, usage=_usage(request, answer))

    async def stream(self, request: ChatRequest, upstream_model: str) -> AsyncGenerator[Sequence[StreamEvent], None]:
        """Answers word by word, one batch a word, letting the event loop run in between.

        Raises:
            ModelNotFound: The model is not `echo`.
        """
        _check(upstream_model)
        answer = _answer(request)
        candidates = range(_candidate_count(request))
        yield (UpstreamStart(),)
        for word in _words(answer.text):
            yield tuple(TextDelta(text=word, candidate_index=index) for index in candidates)
            await asyncio.sleep(0)
        finishes = (CandidateFinish(index, answer.finish_reason, "", answer.stop) for index in candidates)
        yield (*finishes, UpstreamEnd(usage=_usage(request, answer)))

    async def embed(self, request: EmbedRequest, upstream_model: str) -> EmbedResponse:
        """Gives each text a vector of its words, 64 numbers long unless the caller wants another length.

        Raises:
            ModelNotFound: The model is not `echo`.
        """
        _check(upstream_model)
        texts = [part.text for part in request.inputs if isinstance(part, TextPart)]
        words = sum(len(text.split()) for text in texts)
        return EmbedResponse(
            tuple(_vector(text, request.dimensions or DIMENSIONS) for text in texts),
            Usage(words, 0, words, source=UsageSource.ESTIMATE),
        )

    async def count_tokens(self, request: ChatRequest, upstream_model: str) -> int:
        """Counts the words of a prompt.

        Raises:
            ModelNotFound: The model is not `echo`.
        """
        _check(upstream_model)
        return _prompt_words(request)

    async def list_models(self) -> Sequence[UpstreamModel]:
        """Lists the one model, `echo`."""
        return (UpstreamModel(name=MODEL),)

    async def probe(self) -> None:
        """Does nothing: an echo always answers."""

    async def aclose(self) -> None:
        """Does nothing: an echo holds nothing open."""


def _check(upstream_model: str) -> None:
    if upstream_model != MODEL:
        raise ModelNotFound(f"The echo provider has one model, {MODEL!r}.")


def _answer(request: ChatRequest) -> _Answer:
    """Says what a model that repeats would say: the text up to a stop sequence, or as many words as are allowed."""
    text, stop = _before_stop(_last_user_text(request), request.generation.stop_sequences)
    limit = request.generation.max_output_tokens
    if limit is not None and len(text.split(maxsplit=limit)) > limit:
        return _Answer("".join(islice(_words(text), limit)), FinishReason.MAX_TOKENS)
    if stop:
        return _Answer(text, FinishReason.STOP_SEQUENCE, stop)
    return _Answer(text)


def _last_user_text(request: ChatRequest) -> str:
    for message in reversed(request.messages):
        if message.role == Role.USER and (text := _text(message)):
            return text
    return ""


def _text(message: Message) -> str:
    return "".join([part.text for part in message.parts if isinstance(part, TextPart)])


def _before_stop(text: str, stop_sequences: Sequence[str]) -> tuple[str, str]:
    found = [(at, stop) for stop in stop_sequences if stop and (at := text.find(stop)) >= 0]
    if not found:
        return text, ""
    at, stop = min(found)
    return text[:at], stop


def _words(text: str) -> Iterator[str]:
    return (match.group() for match in _WORD.finditer(text))


def _candidate_count(request: ChatRequest) -> int:
    return request.generation.candidate_count or 1


def _vector(text: str, dimensions: int) -> "array[float]":
    # A text of white space alone needs a direction as well.
    words = text.split() or [""]
    counts = Counter(crc32(word.encode(errors="replace")) % dimensions for word in words)
    length = math.hypot(*counts.values())
    vector = array("f", bytes(4 * dimensions))
    for place, count in counts.items():
        vector[place] = count / length
    return vector


def _prompt_words(request: ChatRequest) -> int:
    return sum([len(_text(message).split()) for message in request.messages])


def _usage(request: ChatRequest, answer: _Answer) -> Usage:
    asked = _prompt_words(request)
    answered = len(answer.text.split()) * _candidate_count(request)
    return Usage(
        input_tokens=asked,
        output_tokens=answered,
        total_tokens=asked + answered,
        source=UsageSource.ESTIMATE,
    )
