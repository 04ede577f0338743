"""Answers of Ollama: a whole one, and the lines of a stream, which have the same shape; `done` ends them."""

from typing import Any, Final

from llmproxy_grpc.errors import UpstreamProtocolError
from llmproxy_grpc.messages import FinishReason, ProviderResponse, ReasoningDelta, TextDelta, UpstreamEnd, Usage
from llmproxy_grpc.providers.candidate import CandidateWriter
from llmproxy_grpc.providers.continuity import hidden_token
from llmproxy_grpc.providers.counts import LARGEST_COUNT, clipped
from llmproxy_grpc.providers.held import HeldText
from llmproxy_grpc.providers.http_chat import Reply
from llmproxy_grpc.providers.jsonio import decode_piece, decode_whole
from llmproxy_grpc.providers.logprobs import read_positions
from llmproxy_grpc.providers.ollama_chat.shapes import ANSWER, LIBERAL_ANSWER, Answer, Message, ToolCall
from llmproxy_grpc.providers.scrubbing import identifier
from llmproxy_grpc.providers.streaming import StreamDecoder
from llmproxy_grpc.providers.tool_arguments import as_text

FINISH_REASONS: Final = {"stop": FinishReason.STOP, "length": FinishReason.MAX_TOKENS}


def read_answer(data: bytes, reply: Reply) -> ProviderResponse:
    """Reads an answer in one piece.

    Raises:
        UpstreamProtocolError: It is no answer.
        ProxyError: It is an error of the provider.
    """
    decoder = LineDecoder(reply)
    decoder.take_answer(decode_whole(data, ANSWER), data)
    if not decoder.done:
        raise UpstreamProtocolError("The provider's answer is not whole.")
    return decoder.in_one_piece(reply.request_id)


class LineDecoder(StreamDecoder[bytes]):
    """Turns the lines of one stream into our events.

    Args:
        reply: What is answered.
    """

    def __init__(self, reply: Reply) -> None:
        super().__init__()
        self._reply = reply
        self._show = reply.request.shows_thinking
        self._writer = CandidateWriter(0, self.batch)
        self._hidden = HeldText(self.batch.extent)
        self._last: Answer[Any] = Answer()

    @property
    def output_started(self) -> bool:
        """Whether any output has come."""
        return self._writer.started

    def read(self, frame: bytes) -> None:
        """Takes one line."""
        self.take_answer(decode_piece(frame, ANSWER, LIBERAL_ANSWER), frame)

    def take_answer(self, answer: Answer[Any], data: bytes) -> None:
        """Takes an answer, or a piece of one."""
        if answer.error is not None:
            raise self._reply.failed(data)
        if answer.message is not None:
            self._take(answer.message)
        if answer.logprobs is not None:
            self._writer.annotate(logprobs=read_positions(answer.logprobs))
        if answer.done:
            self._last = answer
            self.done = True

    def end(self) -> None:
        """Ends the stream; raises unless it is done."""
        if not self.done:
            raise self.broken()
        raw = self._last.done_reason or ""
        # Older versions say that they are done, and not why.
        reason = FINISH_REASONS.get(raw, FinishReason.OTHER) if raw else FinishReason.STOP
        if reason is FinishReason.STOP and self._writer.calls_tools:
            reason = FinishReason.TOOL_CALLS
        token = hidden_token(self._hidden.take())
        if token:
            self._writer.redact(token)
        self._writer.finish(reason, raw)
        self.batch.add(UpstreamEnd(_usage(self._last), self._told()))

    def _take(self, message: Message[Any]) -> None:
        if message.thinking and self._show:
            self._writer.say(ReasoningDelta, message.thinking)
        elif message.thinking:
            self._hidden.add(message.thinking)
        if message.content:
            self._writer.say(TextDelta, message.content)
        for call in message.tool_calls or ():
            self._call(call)

    def _call(self, call: ToolCall[Any]) -> None:
        function = call.function
        if function is not None:
            call_id = identifier(call.id) or self._reply.new_id()
            self._writer.open_call(call_id, function.name or "", as_text(function.arguments))

    def _told(self) -> dict[str, Any]:
        model = self._last.model
        return {"model": model} if isinstance(model, str) and model != self._reply.model else {}


def _usage(answer: Answer[Any]) -> Usage | None:
    """The counts; None without that of the prompt, which is left out where all of it was cached."""
    input_tokens, output_tokens = clipped(answer.prompt_eval_count), clipped(answer.eval_count)
    if not input_tokens:
        return None
    return Usage(input_tokens, output_tokens, min(input_tokens + output_tokens, LARGEST_COUNT))
