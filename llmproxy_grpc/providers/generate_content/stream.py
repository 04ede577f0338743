"""Answers of generateContent: a whole one, and the chunks of a stream, which have the same shape."""

from base64 import b64decode
from typing import Any

from llmproxy_grpc.errors import PromptBlocked, ProxyError, UpstreamProtocolError
from llmproxy_grpc.messages import (
    JsonObject,
    MediaKind,
    MediaPart,
    OpaquePart,
    ProviderResponse,
    ReasoningDelta,
    StreamEvent,
    TextDelta,
    UpstreamEnd,
    UsageSoFar,
)
from llmproxy_grpc.messages.collected import Collected
from llmproxy_grpc.providers.batch import Batch
from llmproxy_grpc.providers.candidate import CandidateWriter
from llmproxy_grpc.providers.generate_content.citations import read_citations
from llmproxy_grpc.providers.generate_content.finish import finish_reason
from llmproxy_grpc.providers.generate_content.history import OUR_ID
from llmproxy_grpc.providers.generate_content.logprobs import read_logprobs
from llmproxy_grpc.providers.generate_content.shapes import (
    ANSWER,
    LIBERAL_ANSWER,
    Answer,
    Blob,
    Candidate,
    FunctionCall,
    Part,
)
from llmproxy_grpc.providers.generate_content.usage import read_usage
from llmproxy_grpc.providers.http_chat import Reply
from llmproxy_grpc.providers.jsonio import decode_piece, decode_whole
from llmproxy_grpc.providers.scrubbing import identifier
from llmproxy_grpc.providers.sse import ServerSentEvent
from llmproxy_grpc.providers.streaming import StreamDecoder
from llmproxy_grpc.providers.tool_arguments import as_text

_KINDS = {"image": MediaKind.IMAGE, "audio": MediaKind.AUDIO, "video": MediaKind.VIDEO}
_TOLD = ("groundingMetadata", "citationMetadata", "urlContextMetadata", "safetyRatings", "finishMessage")


def read_answer(data: bytes, reply: Reply) -> ProviderResponse:
    """Reads an answer in one piece.

    Raises:
        UpstreamProtocolError: It is no answer.
        PromptBlocked: The prompt was blocked.
        ProxyError: It is an error of the provider.
    """
    if data.lstrip()[:1] == b"[" and b'"error"' in data:
        raise reply.failed(data)
    decoder = ContentDecoder(reply)
    decoder.take_answer(decode_whole(data, ANSWER), data)
    decoder.end()
    collected = Collected()
    collected.take(decoder.take())
    return collected.response(reply.request_id or decoder.response_id)


class _CandidateReader:
    """Follows one candidate."""

    def __init__(self, index: int, batch: Batch, reply: Reply) -> None:
        self._writer = CandidateWriter(index, batch)
        self._reply = reply
        self._show = reply.request.shows_thinking
        self._said: list[str] = []
        self.raw_finish = ""
        self.told: dict[str, Any] = {}

    @property
    def started(self) -> bool:
        """Whether any output has come."""
        return self._writer.started

    def take(self, candidate: Candidate[Any]) -> None:
        """Takes one chunk's piece of the candidate."""
        content = candidate.content
        for part in (content.parts if content is not None else None) or ():
            self._part(part)
        if candidate.logprobsResult is not None:
            self._writer.annotate(logprobs=read_logprobs(candidate.logprobsResult))
        self.raw_finish = candidate.finishReason or self.raw_finish
        for name in _TOLD:
            value = getattr(candidate, name)
            if value:
                self.told[name] = value

    def end(self) -> None:
        """Ends the candidate."""
        grounding, citing = self.told.get("groundingMetadata"), self.told.pop("citationMetadata", None)
        if grounding or citing:
            self._writer.annotate(citations=read_citations("".join(self._said), grounding, citing))
        self._writer.finish(finish_reason(self.raw_finish, calls_tools=self._writer.calls_tools), self.raw_finish)

    def _part(self, part: Part[Any]) -> None:
        token = part.thoughtSignature.encode("utf-8", "replace") if part.thoughtSignature else b""
        if part.functionCall is not None:
            self._call(part.functionCall, token)
        elif part.text is not None:
            self._text(part.text, token, thought=part.thought is True)
        elif part.inlineData is not None:
            self._writer.add_part(_media(part.inlineData, token))
        else:
            for name in ("executableCode", "codeExecutionResult", "fileData"):
                value = getattr(part, name)
                if value is not None:
                    opaque = OpaquePart(provider_kind="gemini", type=name, value=value, continuity_token=token)
                    self._writer.add_part(opaque)

    def _text(self, text: str, token: bytes, *, thought: bool) -> None:
        kind = ReasoningDelta if thought else TextDelta
        if not token:
            if not thought:
                self._said.append(text)
                self._writer.say(kind, text)
            elif self._show:
                self._writer.say(kind, text)
            return
        # A signed part goes back as it came: it is merged with none before or behind it.
        self._writer.leave()
        if not thought:
            self._said.append(text)
        if self._show or not thought:
            self._writer.say(kind, text)
        self._writer.sign(kind, token)
        self._writer.leave()

    def _call(self, call: FunctionCall[Any], token: bytes) -> None:
        call_id = identifier(call.id) or OUR_ID + self._reply.new_id().rpartition("_")[2]
        self._writer.open_call(call_id, call.name or "", as_text(call.args), token=token)


class ContentDecoder(StreamDecoder[ServerSentEvent]):
    """Turns the chunks of one stream into our events; it is complete when every candidate that began has ended.

    Args:
        reply: What is answered.
    """

    def __init__(self, reply: Reply) -> None:
        super().__init__()
        self._reply = reply
        self._candidates: dict[int, _CandidateReader] = {}
        self._usage: Any = None
        self._has_news_of_usage = False
        self._metadata: dict[str, Any] = {}
        self.response_id = ""

    @property
    def output_started(self) -> bool:
        """Whether any output has come."""
        return any(candidate.started for candidate in self._candidates.values())

    @property
    def complete(self) -> bool:
        """Whether every candidate that began has ended."""
        return bool(self._candidates) and all(candidate.raw_finish for candidate in self._candidates.values())

    @property
    def only_tail_missing(self) -> bool:
        """Whether all candidates asked for have ended."""
        asked = self._reply.request.generation.candidate_count or 1
        return len(self._candidates) >= asked and self.complete

    def read(self, frame: ServerSentEvent) -> None:
        """Takes one chunk."""
        self.take_answer(decode_piece(frame.data, ANSWER, LIBERAL_ANSWER), frame.data)

    def take_answer(self, answer: Answer[Any], data: bytes) -> None:
        """Takes an answer, or a piece of one."""
        if answer.error is not None:
            raise self._reply.failed(data)
        for position, candidate in enumerate(answer.candidates or ()):
            index = position if candidate.index is None else min(max(candidate.index, 0), 2**31 - 1)
            reader = self._candidates.get(index)
            if reader is None:
                reader = self._candidates[index] = _CandidateReader(index, self.batch, self._reply)
            reader.take(candidate)
        if answer.promptFeedback is not None and not answer.candidates:
            self._check(answer.promptFeedback)
        if answer.usageMetadata is not None:
            self._usage = answer.usageMetadata
            self._has_news_of_usage = True
        if answer.modelVersion and answer.modelVersion != self._reply.model:
            self._metadata["modelVersion"] = answer.modelVersion
        self.response_id = self.response_id or identifier(answer.responseId)

    def take(self) -> list[StreamEvent]:
        """Gives our events for all that was fed since the last time."""
        if self._has_news_of_usage:
            self._has_news_of_usage = False
            usage = read_usage(self._usage)
            if usage is not None:
                self.batch.add(UsageSoFar(usage))
        return super().take()

    def end(self) -> None:
        """Ends the stream; raises unless it is complete."""
        if not self.complete:
            raise self.broken()
        for index in sorted(self._candidates):
            self._candidates[index].end()
        self._has_news_of_usage = False
        self.batch.add(UpstreamEnd(read_usage(self._usage), self._told()))

    def broken(self) -> ProxyError:
        """The error of a stream that ends too early."""
        if not self._candidates and self._usage is None:
            return UpstreamProtocolError("The provider's answer has no candidate.")
        return super().broken()

    def _told(self) -> JsonObject:
        told = [self._candidates[index].told for index in sorted(self._candidates)]
        if any(told):
            # One candidate is the rule: its fields stand by themselves.
            self._metadata |= told[0] if len(told) == 1 else {"candidates": told}
        return self._metadata

    def _check(self, feedback: dict[str, Any]) -> None:
        reason = identifier(feedback.get("blockReason"))
        if reason:
            raise PromptBlocked("The provider's policy blocks the prompt.", metadata={"category": reason})


def _media(blob: Blob, token: bytes) -> MediaPart:
    media_type = blob.mimeType or "application/octet-stream"
    try:
        data = b64decode(blob.data or "")
    except ValueError as error:
        raise UpstreamProtocolError("The provider's media cannot be read.") from error
    kind = _KINDS.get(media_type.partition("/")[0], MediaKind.DOCUMENT)
    return MediaPart(kind=kind, data=data, media_type=media_type, continuity_token=token)
