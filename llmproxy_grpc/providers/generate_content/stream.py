"""Answers of generateContent: a whole one, and the chunks of a stream, which have the same shape."""

from typing import Any

from llmproxy_grpc.errors import ProxyError, UpstreamProtocolError
from llmproxy_grpc.messages import JsonObject, ProviderResponse, UpstreamEnd, Usage
from llmproxy_grpc.providers.counts import LARGEST_COUNT
from llmproxy_grpc.providers.generate_content.candidate import CandidateReader, Originals
from llmproxy_grpc.providers.generate_content.shapes import ANSWER, LIBERAL_ANSWER, Answer, UsageMetadata
from llmproxy_grpc.providers.generate_content.usage import read_usage
from llmproxy_grpc.providers.http_chat import Reply
from llmproxy_grpc.providers.jsonio import decode_piece, decode_whole
from llmproxy_grpc.providers.scrubbing import identifier
from llmproxy_grpc.providers.sse import ServerSentEvent
from llmproxy_grpc.providers.streaming import StreamDecoder

_BRACE = ord("{")
_TIERS = ("serviceTier", "trafficType")


def read_answer(data: bytes, reply: Reply) -> ProviderResponse:
    """Reads an answer in one piece.

    Raises:
        UpstreamProtocolError: It is no answer.
        PromptBlocked: The prompt was blocked.
        ProxyError: It is an error of the provider.
    """
    _raise_if_listed(data, reply)
    decoder = ContentDecoder(reply)
    decoder.take_answer(decode_whole(data, ANSWER), data)
    return decoder.in_one_piece(reply.request_id or decoder.response_id)


class ContentDecoder(StreamDecoder[ServerSentEvent]):
    """Turns the chunks of one stream into our events; it is complete when every candidate that began has ended.

    Args:
        reply: What is answered.
    """

    def __init__(self, reply: Reply) -> None:
        super().__init__()
        self._reply = reply
        self._originals = Originals()
        self._candidates: dict[int, CandidateReader] = {}
        self._usage: UsageMetadata | None = None
        self._metadata: dict[str, Any] = {}
        self._noted = False
        self._goes_on = False
        """Whether a candidate said more behind its finish reason, as old models do, which repeat it in every chunk."""
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
        return len(self._candidates) >= asked and self.complete and not self._goes_on

    def read(self, frame: ServerSentEvent) -> None:
        """Takes one chunk."""
        _raise_if_listed(frame.data, self._reply)
        self.take_answer(decode_piece(frame.data, ANSWER, LIBERAL_ANSWER), frame.data)

    def take_answer(self, answer: Answer[Any], data: bytes) -> None:
        """Takes an answer, or a piece of one."""
        if answer.error is not None:
            raise self._reply.failed(data)
        for position, candidate in enumerate(answer.candidates or ()):
            index = candidate.index
            if index is None or not 0 <= index <= LARGEST_COUNT:
                index = position if index is None else min(max(index, 0), LARGEST_COUNT)
            reader = self._candidates.get(index)
            if reader is None:
                reader = self._candidates[index] = CandidateReader(index, self.batch, self._reply, self._originals)
            elif reader.raw_finish:
                self._goes_on = True
            reader.take(candidate, data, position)
        if answer.usageMetadata is not None:
            self._usage = answer.usageMetadata
            self.usage_is_news = True
        if not self._noted:
            self._note(answer)
        if answer.promptFeedback is not None and not answer.candidates and _is_blocked(answer.promptFeedback):
            raise self._reply.failed(data)

    def usage_so_far(self) -> Usage | None:
        """What the counts come to that have come last."""
        return read_usage(self._usage)

    def end(self) -> None:
        """Ends the stream; raises unless it is complete."""
        if not self.complete:
            raise self.broken()
        for index in sorted(self._candidates):
            self._candidates[index].end()
        self.usage_is_news = False
        searched = any(candidate.searched for candidate in self._candidates.values())
        self.batch.add(UpstreamEnd(read_usage(self._usage, searched=searched), self._told()))

    def broken(self) -> ProxyError:
        """The error of a stream that ends too early."""
        if not self._candidates and self._usage is None:
            return UpstreamProtocolError("The provider's answer has no candidate.")
        return super().broken()

    def _note(self, answer: Answer[Any]) -> None:
        self._noted = answer.responseId is not None or answer.modelVersion is not None
        self.response_id = identifier(answer.responseId)
        if answer.modelVersion and answer.modelVersion != self._reply.model:
            self._metadata["modelVersion"] = answer.modelVersion
        if self.response_id:
            self._metadata["responseId"] = self.response_id

    def _told(self) -> JsonObject:
        told = [self._candidates[index].told for index in sorted(self._candidates)]
        if any(told):
            # One candidate is the rule: its fields stand by themselves.
            self._metadata |= told[0] if len(told) == 1 else {"candidates": told}
        if self._usage is not None:
            self._metadata |= {name: value for name in _TIERS if (value := getattr(self._usage, name))}
        return self._metadata


def _raise_if_listed(data: bytes, reply: Reply) -> None:
    """Raises the error that a list is which holds one, as Google sends them at times."""
    if data and data[0] == _BRACE:  # nearly always
        return
    if data.lstrip()[:1] == b"[" and b'"error"' in data:
        raise reply.failed(data)


def _is_blocked(feedback: dict[str, Any]) -> bool:
    reason = feedback.get("blockReason")
    return isinstance(reason, str) and bool(reason) and not reason.endswith("_UNSPECIFIED")
