"""Goes on where a stream broke off: another attempt gets what was said so far as the beginning of its own answer."""

from collections.abc import Callable, Sequence
from typing import Final

from msgspec.structs import replace

from llmproxy_grpc.errors import ProxyError
from llmproxy_grpc.messages import (
    CandidateFinish,
    ChatRequest,
    Delta,
    Message,
    Modality,
    ReasoningDelta,
    ReasoningEffort,
    Role,
    StreamEvent,
    TextDelta,
    TextPart,
    Warning,
)
from llmproxy_grpc.messages.sizes import text_size, tokens_in
from llmproxy_grpc.providers.features import Features

CONTINUED: Final = Warning(
    "STREAM_CONTINUED",
    "",
    "The provider broke off its answer; what follows was written by another attempt, which got what stood so far.",
)


class Spoken:
    """What a stream has said, as far as another attempt could go on with it.

    It must be plain text of one candidate: what breaks off within thinking, a tool call or a format is worth nothing.

    Args:
        request: What is asked.
        warn: Told once for each other attempt that goes on.
    """

    def __init__(self, request: ChatRequest, warn: Callable[[Warning], None]) -> None:
        self._request = request
        self._warn = warn
        self._plain = _wants_plain_text(request)
        self._pieces: list[str] = []
        self.resuming = False
        """Whether another attempt is to go on that has said nothing yet."""
        self.broken: ProxyError | None = None
        """How the last attempt ended that has said something."""
        self._said_space = ""
        self._beginning = ""
        self._echo = ""
        self._held = ""
        self._shift = 0

    def expect(self, features: Features) -> None:
        """Who goes on: some answer with what they were given first."""
        self._echo, self._held = self._beginning if features.prefill_echoed else "", ""

    def take(self, batch: Sequence[StreamEvent]) -> Sequence[StreamEvent]:
        """Notes a batch; gives it as the caller gets it, empty if nothing is left."""
        if self.resuming or self._shift or self._said_space or self._echo:
            batch = [event for each in batch for event in self._joined(each)]
        for event in batch:
            if type(event) is TextDelta and event.candidate_index == event.part_index == 0:
                self._pieces.append(event.text)
            elif isinstance(event, Delta | CandidateFinish):
                self._plain = False
        return batch

    def rest(self) -> ChatRequest | None:
        """What to ask for the rest, in place of the request; None if it cannot be continued. Then take its batches."""
        text = "".join(self._pieces)
        beginning = text.rstrip()  # where it ends with space, some vendors refuse it
        generation = self._request.generation
        most = generation.max_output_tokens
        left = None if most is None else most - tokens_in(text_size(text))
        if not self._plain or not beginning or (left is not None and left < 1):
            return None
        self.resuming = True
        self._said_space = text[len(beginning) :]
        self._beginning = beginning
        self._shift = 0
        message = Message(Role.ASSISTANT, (TextPart(beginning),))
        messages = (*self._request.messages, message)
        generation = replace(generation, max_output_tokens=left)
        return replace(self._request, messages=messages, generation=generation, begun=True)

    def _joined(self, event: StreamEvent) -> Sequence[StreamEvent]:
        """An event of the rest so that it fits what was said: its parts go on with ours, its thinking is left out."""
        if isinstance(event, ReasoningDelta) or not isinstance(event, Delta | CandidateFinish):
            return () if isinstance(event, Delta) else (event,)
        before: tuple[StreamEvent, ...] = ()
        if self.resuming:
            self.resuming = False
            before = (CONTINUED,)
            self._warn(CONTINUED)
            if isinstance(event, Delta):
                self._shift = (0 if isinstance(event, TextDelta) else 1) - event.part_index
        if isinstance(event, CandidateFinish):
            return (*before, event)
        if self._shift:
            event = replace(event, part_index=event.part_index + self._shift)
        if isinstance(event, TextDelta) and self._echo:
            event = self._without_echo(event)
        if isinstance(event, TextDelta) and self._said_space and not self._echo:
            event = self._without_said_space(event)
        return (*before, event)

    def _without_echo(self, event: TextDelta) -> TextDelta:
        """A delta without what repeats the beginning; if that turns out to be no repetition, with all that was held."""
        text, echo = event.text, self._echo
        if echo.startswith(text):
            self._echo, self._held, text = echo[len(text) :], self._held + text, ""
        elif text.startswith(echo):
            self._echo, text = "", text[len(echo) :]
        else:
            self._echo, text = "", self._held + text
        return replace(event, text=text)

    def _without_said_space(self, event: TextDelta) -> TextDelta:
        """A delta without the space that was said already, for the other attempt was not told of it."""
        text = event.text
        while self._said_space and text[:1] == self._said_space[0]:
            text, self._said_space = text[1:], self._said_space[1:]
        if text:
            self._said_space = ""
        return replace(event, text=text)


def _wants_plain_text(request: ChatRequest) -> bool:
    generation = request.generation
    reasoning = generation.reasoning
    return (
        request.messages[-1].role is not Role.ASSISTANT
        and generation.candidate_count in (None, 1)
        and generation.response_format is None
        and set(generation.output_modalities) <= {Modality.TEXT}
        and (reasoning is None or not (reasoning.budget_tokens or reasoning.effort > ReasoningEffort.NONE))
    )
