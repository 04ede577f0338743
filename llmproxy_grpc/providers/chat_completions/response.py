"""A whole answer: its JSON as a ProviderResponse, and that as the events of a stream."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from msgspec.structs import replace

from llmproxy_grpc.errors import UpstreamProtocolError
from llmproxy_grpc.messages import (
    Candidate,
    Citation,
    JsonObject,
    Message,
    Part,
    ProviderResponse,
    ReasoningPart,
    RefusalPart,
    Role,
    TextPart,
    Usage,
)
from llmproxy_grpc.providers.chat_completions.content import citations, pieces, references, thinking
from llmproxy_grpc.providers.chat_completions.expectation import Expectation
from llmproxy_grpc.providers.chat_completions.filters import Filters, in_prompts
from llmproxy_grpc.providers.chat_completions.finish import BROKEN, failed, finish
from llmproxy_grpc.providers.chat_completions.pictures import pictures_of
from llmproxy_grpc.providers.chat_completions.reasoning_details import details_token
from llmproxy_grpc.providers.chat_completions.shapes import Answer, Choice, Content
from llmproxy_grpc.providers.chat_completions.speech import id_of, sound_of, transcript_of
from llmproxy_grpc.providers.chat_completions.thinking_chunks import Run, chunk_token
from llmproxy_grpc.providers.chat_completions.tool_calls import whole_calls
from llmproxy_grpc.providers.chat_completions.usage import read_usage
from llmproxy_grpc.providers.continuity import hidden_token
from llmproxy_grpc.providers.jsonio import joined
from llmproxy_grpc.providers.logprobs import read_logprobs
from llmproxy_grpc.providers.scrubbing import identifier
from llmproxy_grpc.providers.tiers import is_other_tier


class ResponseReader:
    """Reads whole answers to one request.

    Args:
        expectation: What was asked for.
        new_id: Makes ids for tool calls that have none.
    """

    def __init__(self, expectation: Expectation, *, new_id: Callable[[], str]) -> None:
        self._expectation = expectation
        self._new_id = new_id

    def read(self, answer: Answer[Any], *, request_id: str) -> ProviderResponse:
        """Reads an answer that is no error.

        Raises:
            UpstreamProtocolError: It has no candidate.
            ProxyError: A candidate says that it failed.
        """
        choices = answer.choices or []
        broken = any(choice.finish_reason == BROKEN for choice in choices)
        if all(choice.message is None for choice in choices) and not broken:
            raise UpstreamProtocolError("The provider's answer has no candidate.")
        candidates = tuple(self._candidate(choice, position) for position, choice in enumerate(choices))
        if broken:
            error = failed(output=any(candidate.message.parts for candidate in candidates))
            error.usage = self._usage(answer, len(choices))
            raise error
        return ProviderResponse(
            candidates=candidates,
            usage=self._usage(answer, len(choices)),
            upstream_request_id=request_id or identifier(answer.id),
            provider_metadata={**metadata(answer, self._expectation.model), **_filtered(answer, choices)},
        )

    def _usage(self, answer: Answer[Any], candidates: int) -> Usage | None:
        if not self._expectation.is_counted(candidates):
            return None
        return read_usage(answer.reported_usage(), at_other_rates=is_other_tier(answer.service_tier))

    def _candidate(self, choice: Choice[Any], position: int) -> Candidate:
        message = choice.message or Content()
        parts = self._parts(message)
        calls = whole_calls(message, self._new_id)
        parts = _with_token([*parts, *calls], details_token(message.reasoning_details) or self._hidden_token(message))
        ended = finish(
            choice.finish_reason or "",
            tool_calls=bool(calls),
            refused=bool(message.refusal),
            matched=choice.matched_stop if choice.stop_reason is None else choice.stop_reason,
        )
        return Candidate(
            index=choice.number(position),
            message=Message(Role.ASSISTANT, tuple(parts)),
            finish_reason=ended.reason,
            raw_finish_reason=ended.raw,
            matched_stop_sequence=ended.matched_stop_sequence,
            logprobs=read_logprobs(choice.logprobs) if choice.logprobs is not None else (),
        )

    def _parts(self, message: Content[Any]) -> list[Part]:
        parts: list[Part] = []
        sources = citations(message.annotations) if message.annotations is not None else ()
        if self._expectation.show_thinking and (thought := thinking(message)):
            parts.append(ReasoningPart(text=joined(thought)))
        content = message.content
        if isinstance(content, list):
            parts += self._mixed_parts(content, sources)
        elif content or sources:
            parts.append(TextPart(text=joined(content or ""), citations=sources))
        if message.images is not None and self._expectation.pictures:
            parts += pictures_of(message.images)
        if message.audio is not None:
            parts += self._sound(message.audio)
        if message.refusal:
            parts.append(RefusalPart(text=joined(message.refusal)))
        return parts

    def _hidden_token(self, message: Content[Any]) -> bytes:
        if self._expectation.show_thinking or not self._expectation.keep_thinking:
            return b""
        content = () if self._expectation.thinking_in_content else message.content
        pieces_of_it = () if content is None or isinstance(content, str) else pieces(content)
        return hidden_token(thinking(message) + "".join(text for is_thinking, text, _ in pieces_of_it if is_thinking))

    def _sound(self, audio: Any) -> Iterator[Part]:
        words = transcript_of(audio)
        if words:
            yield TextPart(text=joined(words))
        sound = sound_of(audio, named=id_of(audio), media_type=self._expectation.audio_type)
        if sound is not None:
            yield sound

    def _mixed_parts(self, content: list[Any], sources: tuple[Citation, ...]) -> list[Part]:
        """Content that came as a list: neighbours of one kind are one part, as they are in a stream."""
        runs: list[Run] = []
        for piece in content:
            for is_thinking, text, signed in pieces((piece,)):
                self._add(runs, text, signed if self._expectation.thinking_in_content else "", is_thinking=is_thinking)
            _cite(runs, references((piece,)))
        _cite(runs, sources)
        return [
            self._thought(run) if run.is_thinking else TextPart(text=joined(run.text), citations=tuple(run.citations))
            for run in runs
        ]

    def _add(self, runs: list[Run], text: str, signature: str, *, is_thinking: bool) -> None:
        kept = self._expectation.show_thinking or self._expectation.thinking_in_content
        if not (text or signature) or (is_thinking and not kept):
            return
        if not runs or not runs[-1].takes(signature, is_thinking=is_thinking):
            runs.append(Run(is_thinking=is_thinking))
        runs[-1].add(text, signature)

    def _thought(self, run: Run) -> ReasoningPart:
        text = joined(run.text)
        if not self._expectation.thinking_in_content:
            return ReasoningPart(text=text)
        if text and self._expectation.show_thinking:
            return ReasoningPart(text=text, continuity_token=chunk_token(run.signature))
        return ReasoningPart(redacted=True, continuity_token=chunk_token(run.signature, text))


def _cite(runs: list[Run], sources: tuple[Citation, ...]) -> None:
    """Adds sources to the text that they stand behind, or that begins with them."""
    if not sources:
        return
    if not runs or runs[-1].is_thinking:
        runs.append(Run(is_thinking=False))
    runs[-1].citations += sources


def _with_token(parts: list[Part], token: bytes) -> list[Part]:
    """The parts with what has to come back: on the first thinking, or a part of its own where none is shown."""
    if not token:
        return parts
    first = next((index for index, part in enumerate(parts) if isinstance(part, ReasoningPart)), None)
    if first is None:
        return [*parts, ReasoningPart(redacted=True, continuity_token=token)]
    return [*parts[:first], replace(parts[first], continuity_token=token), *parts[first + 1 :]]


def _filtered(answer: Answer[Any], choices: Sequence[Choice[Any]]) -> JsonObject:
    """What filters found in the prompt and in the candidates."""
    filters = Filters()
    for position, choice in enumerate(choices):
        if choice.content_filter_results is not None:  # hardly ever
            filters.take(choice.number(position), choice.content_filter_results)
    return {**in_prompts(answer.prompt_filter_results), **filters.metadata()}


def metadata(answer: Answer[Any], model: str) -> JsonObject:
    """What an answer says beyond the API, as far as somebody may need it."""
    found: dict[str, Any] = {}
    if answer.model and answer.model != model:
        found["model"] = answer.model
    if answer.system_fingerprint:
        found["system_fingerprint"] = answer.system_fingerprint
    if answer.service_tier:
        found["service_tier"] = answer.service_tier
    if answer.citations:
        found["citations"] = answer.citations
    if answer.search_results:
        found["search_results"] = answer.search_results
    return found
