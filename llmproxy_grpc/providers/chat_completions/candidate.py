"""One candidate of a stream of Chat Completions: its deltas, as they come, turned into the parts of a message."""

from collections.abc import Callable, Sequence
from typing import Any

from llmproxy_grpc.messages import Citation, ReasoningDelta, RefusalDelta, TextDelta
from llmproxy_grpc.providers.batch import Batch
from llmproxy_grpc.providers.candidate import CandidateWriter
from llmproxy_grpc.providers.chat_completions.content import citations, pieces, references, thinking
from llmproxy_grpc.providers.chat_completions.expectation import Expectation
from llmproxy_grpc.providers.chat_completions.finish import finish
from llmproxy_grpc.providers.chat_completions.pictures import pictures_of
from llmproxy_grpc.providers.chat_completions.reasoning_details import ReasoningDetails
from llmproxy_grpc.providers.chat_completions.shapes import Choice, Content, ToolCall
from llmproxy_grpc.providers.chat_completions.speech import id_of, sound_of, transcript_of
from llmproxy_grpc.providers.chat_completions.thinking_chunks import Run, chunk_token
from llmproxy_grpc.providers.chat_completions.tool_calls import OpenCall, OpenCalls, call_arguments, call_name
from llmproxy_grpc.providers.continuity import hidden_token
from llmproxy_grpc.providers.held import HeldText
from llmproxy_grpc.providers.logprobs import read_logprobs


class CandidateDecoder:
    """Follows one candidate.

    Args:
        index: The candidate's number.
        batch: Takes the events.
        new_id: Makes ids for tool calls that have none.
        expectation: What was asked for.
    """

    def __init__(self, index: int, batch: Batch, *, new_id: Callable[[], str], expectation: Expectation) -> None:
        self._writer = CandidateWriter(index, batch)
        self._show_thinking = expectation.show_thinking
        self._keep_thinking = expectation.keep_thinking
        self._in_place = expectation.thinking_in_content
        self._run: Run | None = None
        self._hidden = HeldText(batch.extent)
        self._extent = batch.extent
        self._calls = OpenCalls(new_id, batch.extent)
        self._details: ReasoningDetails | None = None
        self._thought = -1
        self._has_pictures = expectation.pictures
        self._audio_type = expectation.audio_type
        self._audio_id = ""
        self._transcript = -1
        self._refused = False
        self._matched: Any = None
        self.raw_finish = ""
        """The provider's word for why the candidate ended; empty until it has."""

    @property
    def started(self) -> bool:
        """Whether any output has come."""
        return self._writer.started

    def feed(self, choice: Choice[Any]) -> None:
        """Takes one chunk's piece of the candidate."""
        delta = choice.delta
        if delta is None and not self.started:
            # Some servers end a stream with the whole message once more; it counts where no delta came.
            delta = choice.message
        if delta is not None:
            self._take(delta)
            if delta.reasoning_details is not None:
                self._details = self._details or ReasoningDetails(self._extent)
                self._details.take(delta.reasoning_details)
            if delta.images is not None and self._has_pictures:
                for picture in pictures_of(delta.images):
                    self._end_run()
                    self._writer.add_part(picture)
            if delta.audio is not None:
                self._hear(delta.audio)
        if choice.logprobs is not None:
            self._writer.annotate(logprobs=read_logprobs(choice.logprobs))
        if choice.finish_reason:
            self.raw_finish = choice.finish_reason
            self._matched = choice.matched_stop if choice.stop_reason is None else choice.stop_reason

    def end(self) -> None:
        """Ends the candidate: gives what was held back, and its CandidateFinish."""
        self._end_run()
        calls = self._calls.calls
        for call in calls:
            if call.writer is None:
                self._open(call)
        self._keep((b"" if self._details is None else self._details.token()) or hidden_token(self._hidden.take()))
        ended = finish(self.raw_finish, tool_calls=bool(calls), refused=self._refused, matched=self._matched)
        self._writer.finish(ended.reason, ended.raw, ended.matched_stop_sequence)

    def _take(self, delta: Content[Any]) -> None:
        if delta.reasoning_content or delta.reasoning:
            self._think(thinking(delta))
        content = delta.content
        if isinstance(content, str):
            self._say(content)
        elif content:
            self._take_list(content)
        if delta.refusal:
            self._end_run()
            self._refused = True
            self._writer.say(RefusalDelta, delta.refusal)
        if delta.tool_calls or delta.function_call is not None:
            for fragment in self._calls.fragments(delta):
                self._call(fragment)
        if delta.annotations is not None:
            self._cite(citations(delta.annotations))

    def _take_list(self, content: list[Any]) -> None:
        for piece in content:
            for is_thinking, text, signature in pieces((piece,)):
                if not is_thinking:
                    self._say(text)
                elif self._in_place:
                    self._think_in_place(text, signature)
                else:
                    self._think(text)
            self._cite(references((piece,)))

    def _cite(self, sources: Sequence[Citation]) -> None:
        """Adds sources, which are those of a text: of the open one, else of one that is opened."""
        if sources:
            self._end_run()
        if sources and self._writer.thinks:
            self._writer.leave()
        self._writer.annotate(citations=sources)

    def _say(self, text: str) -> None:
        if text and self._run is not None:
            self._end_run()
        self._writer.say(TextDelta, text)

    def _think_in_place(self, text: str, signature: str) -> None:
        """Takes thinking that goes back where it stood: what a signature ends is a part of its own."""
        if not text and not signature:
            return
        if self._run is None or not self._run.takes(signature, is_thinking=True):
            self._end_run()
            self._run = Run(is_thinking=True)
        self._run.add("", signature)
        if self._show_thinking:
            self._writer.say(ReasoningDelta, text)
        else:
            self._hidden.add(text)

    def _end_run(self) -> None:
        """Gives thinking that goes back where it stood its token."""
        run, self._run = self._run, None
        if run is None:
            return
        if self._writer.thinks:
            self._writer.sign(ReasoningDelta, chunk_token(run.signature))
        else:
            self._writer.redact(chunk_token(run.signature, self._hidden.take()))
        self._writer.leave()

    def _think(self, text: str) -> None:
        if self._show_thinking:
            self._writer.say(ReasoningDelta, text)
            if self._thought < 0:
                self._thought = self._writer.last_part
        elif self._keep_thinking:
            self._hidden.add(text)

    def _hear(self, audio: Any) -> None:
        """Takes a piece of sound, and of what is said in it: that is one text, whatever comes between."""
        self._audio_id = self._audio_id or id_of(audio)
        words = transcript_of(audio)
        if words:
            if self._transcript < 0:
                self._writer.enter(TextDelta)
                self._transcript = self._writer.last_part
            self._writer.reopen(TextDelta, self._transcript)
            self._writer.say(TextDelta, words)
        sound = sound_of(audio, named=self._audio_id, media_type=self._audio_type)
        if sound is not None:
            self._writer.add_part(sound)

    def _keep(self, token: bytes) -> None:
        """Gives what has to come back to the first thinking; to a part of its own where none is shown."""
        if not token:
            return
        self._writer.leave()
        if self._thought < 0:
            self._writer.redact(token)
        else:
            self._writer.sign_part(self._thought, token)

    def _call(self, fragment: ToolCall[Any]) -> None:
        self._end_run()
        self._writer.leave()
        arguments = call_arguments(fragment)
        call = self._calls.call_of(fragment, arguments)
        if call.writer is not None:
            call.writer.arguments(arguments)
            return
        call.name = call_name(fragment) or call.name
        call.custom = call.custom or fragment.custom is not None
        if call.name:
            self._open(call, arguments)
        else:
            self._calls.hold(call, arguments)

    def _open(self, call: OpenCall, arguments: str = "") -> None:
        call.writer = self._writer.open_call(call.id, call.name, call.held() + arguments, token=call.token)
