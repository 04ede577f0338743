"""`llmproxyctl chat`: asks once, and prints the answer as it comes."""

from llmproxy_client.answer import Answer
from llmproxy_client.client import Client, stream
from llmproxy_client.ctl.terminal import Terminal
from llmproxy_client.names import short
from llmproxy_client.v1.chat_pb2 import Candidate, ChatRequest, ChatResponse, ContentDelta
from llmproxy_client.v1.content_pb2 import ROLE_SYSTEM, ROLE_USER, ContentPart, Media, Message
from llmproxy_client.v1.generation_pb2 import (
    FINISH_REASON_STOP,
    FINISH_REASON_STOP_SEQUENCE,
    FINISH_REASON_TOOL_CALLS,
    FinishReason,
    GenerationConfig,
)

DEFAULT_MODEL = "default"
"""The name by which a server knows its `default_model`."""

_EXPECTED = (FINISH_REASON_STOP, FINISH_REASON_STOP_SEQUENCE, FINISH_REASON_TOOL_CALLS)


def request(
    prompt: str,
    *,
    model: str = DEFAULT_MODEL,
    system: str = "",
    max_tokens: int | None = None,
    temperature: float | None = None,
) -> ChatRequest:
    """A conversation of one question, perhaps behind instructions; what is None is left to the model."""
    said = [(ROLE_SYSTEM, system), (ROLE_USER, prompt)] if system else [(ROLE_USER, prompt)]
    asked = ChatRequest(
        model=model, messages=[Message(role=role, parts=[ContentPart(text=text)]) for role, text in said]
    )
    if max_tokens is not None or temperature is not None:
        asked.generation.CopyFrom(GenerationConfig(max_output_tokens=max_tokens, temperature=temperature))
    return asked


def whole(client: Client, chat: ChatRequest, terminal: Terminal, *, as_json: bool, timeout: float | None) -> None:
    """Asks for the answer in one message, and prints it."""
    response = client.stub.Chat(chat, timeout=timeout)
    if as_json:
        terminal.json(response)
        return
    page = _Page(terminal)
    for part in _parts(response):
        page.thought(part.reasoning.text)
        page.text(part.text or part.refusal)
    page.end(response)


def as_it_comes(client: Client, chat: ChatRequest, terminal: Terminal, *, as_json: bool, timeout: float | None) -> None:
    """Asks for the answer as a stream, and prints each piece at once; as JSON, one event a line."""
    answer, page = Answer(), _Page(terminal)
    try:
        with stream(client.stub, chat, timeout=timeout) as events:
            for event in events:
                answer.add(event)
                if as_json:
                    terminal.json(event)
                elif event.WhichOneof("event") == "delta":
                    page.delta(event.delta)
        response = answer.response()
    finally:
        page.break_line()  # what came of a failed stream stands above its error
    if not as_json:
        page.end(response)


class _Page:
    """Writes an answer: text and refusals as they come, tool calls and media when they are whole."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._line_open = False
        self._thinking = False

    def delta(self, delta: ContentDelta) -> None:
        self.thought(delta.reasoning.text)
        self.text(delta.text or delta.refusal)

    def thought(self, piece: str) -> None:
        if piece:
            self._terminal.thought(piece)
            self._thinking = True

    def text(self, piece: str) -> None:
        if not piece:
            return
        if self._thinking:
            self._terminal.thought("\n")
            self._thinking = False
        self._terminal.text(piece)
        self._line_open = not piece.endswith("\n")

    def end(self, response: ChatResponse) -> None:
        self.break_line()
        for part in _parts(response):
            if line := _described(part):
                self._terminal.line(line)
        for warning in response.warnings:
            self._terminal.warning(warning)
        for candidate in response.candidates:
            if candidate.finish_reason not in _EXPECTED:
                self._terminal.note(f"the answer ended early: {_reason(candidate)}")

    def break_line(self) -> None:
        if self._line_open:
            self._terminal.text("\n")
            self._line_open = False


def _parts(response: ChatResponse) -> list[ContentPart]:
    return [part for candidate in response.candidates for part in candidate.message.parts]


def _described(part: ContentPart) -> str:
    match part.WhichOneof("part"):
        case "tool_call":
            return f"{part.tool_call.name}({part.tool_call.arguments_json})"
        case "image" | "audio" | "video" | "document" as kind:
            return f"[{kind}: {_media(getattr(part, kind))}]"
        case "opaque":
            return f"[{part.opaque.type}]"
        case _:
            return ""


def _media(media: Media) -> str:
    match media.WhichOneof("source"):
        case "data":
            return f"{media.media_type}, {len(media.data)} bytes"
        case "uri":
            return media.uri
        case _:
            return media.file_id


def _reason(candidate: Candidate) -> str:
    return short(FinishReason.DESCRIPTOR, candidate.finish_reason) or candidate.raw_finish_reason or "no reason given"
