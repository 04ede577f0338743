"""One candidate of an answer, however many chunks it comes in."""

from base64 import b64decode
from typing import Any

from llmproxy_grpc.errors import UpstreamProtocolError
from llmproxy_grpc.messages import MediaKind, MediaPart, OpaquePart, ReasoningDelta, TextDelta
from llmproxy_grpc.providers.batch import Batch
from llmproxy_grpc.providers.candidate import CandidateWriter
from llmproxy_grpc.providers.generate_content.citations import Cited, citations_of, sources_of
from llmproxy_grpc.providers.generate_content.finish import finish_reason
from llmproxy_grpc.providers.generate_content.history import OUR_ID, WHOLE_PART
from llmproxy_grpc.providers.generate_content.logprobs import read_logprobs
from llmproxy_grpc.providers.generate_content.shapes import ANYTHING, Blob, Candidate, FunctionCall, Part
from llmproxy_grpc.providers.http_chat import Reply
from llmproxy_grpc.providers.jsonio import decode
from llmproxy_grpc.providers.scrubbing import identifier
from llmproxy_grpc.providers.tool_arguments import as_text

Fields = dict[str, Any]

_KINDS = {"image": MediaKind.IMAGE, "audio": MediaKind.AUDIO, "video": MediaKind.VIDEO}
_FLAGS = frozenset({"thought", "thoughtSignature"})
_TOLD = (
    "finishMessage",
    "groundingMetadata",
    "urlContextMetadata",
    "safetyRatings",
    "avgLogprobs",
    "continuationToken",
)


class Originals:
    """The parts of an answer as they came, for those that the API does not model; each document is decoded once."""

    def __init__(self) -> None:
        self._document = b""
        self._decoded: Any = None

    def part(self, document: bytes, position: int, number: int) -> Fields:
        """The part of this number of the candidate at a position of a document."""
        if document is not self._document:
            self._document, self._decoded = document, decode(document, ANYTHING)
        part: Fields = self._decoded["candidates"][position]["content"]["parts"][number]
        return part


class CandidateReader:
    """Follows one candidate.

    Args:
        index: The candidate's number.
        batch: Takes the events.
        reply: What is answered.
        originals: Gives parts as they came; the same for all candidates of an answer.
    """

    def __init__(self, index: int, batch: Batch, reply: Reply, originals: Originals) -> None:
        self._writer = CandidateWriter(index, batch)
        self._reply = reply
        self._originals = originals
        self._show = reply.request.shows_thinking
        self._said: list[tuple[int, str]] = []
        self._cited: dict[Cited, None] = {}
        self.raw_finish = ""
        self.told: Fields = {}
        """What the candidate says beyond the API."""

    @property
    def started(self) -> bool:
        """Whether any output has come."""
        return self._writer.started

    @property
    def searched(self) -> bool:
        """Whether the provider searched for it."""
        grounding = self.told.get("groundingMetadata")
        return isinstance(grounding, dict) and bool(grounding.get("webSearchQueries"))

    def take(self, candidate: Candidate[Any], document: bytes, position: int) -> None:
        """Takes a chunk's piece of the candidate, which stands at a position of the chunk's candidates."""
        content = candidate.content
        if content is not None and content.parts:
            for number, part in enumerate(content.parts):
                if part.text is not None and part.thought is not True and not part.thoughtSignature:  # nearly always
                    if part.text:
                        self._writer.say(TextDelta, part.text)
                        self._keep(part.text)
                elif not self._part(part):
                    self._other(self._originals.part(document, position, number), part)
        if candidate.logprobsResult is not None:
            self._writer.annotate(logprobs=read_logprobs(candidate.logprobsResult))
        if candidate.finishReason:
            self.raw_finish = candidate.finishReason
        if (
            candidate.finishReason
            or candidate.groundingMetadata
            or candidate.citationMetadata
            or candidate.safetyRatings
            or candidate.urlContextMetadata
        ):
            self._note(candidate)

    def end(self) -> None:
        """Ends the candidate."""
        cited = [*sources_of(self.told.get("groundingMetadata")), *self._cited]
        if cited:
            for part_index, citations in citations_of(self._said, cited).items():
                self._writer.cite(part_index, citations)
        self._writer.finish(finish_reason(self.raw_finish, calls_tools=self._writer.calls_tools), self.raw_finish)

    def _keep(self, text: str) -> None:
        """Keeps what was said, for the places of sources; of too much they have none, and stand at its beginning."""
        part = self._writer.last_part
        if self._writer.extent.may_keep(len(text)):
            self._said.append((part, text))
        else:
            self._said = [(self._said[0][0] if self._said else part, "")]

    def _note(self, candidate: Candidate[Any]) -> None:
        """Keeps what comes beside the content: pieces of one field complete each other."""
        for name in _TOLD:
            value = getattr(candidate, name)
            if value:
                before = self.told.get(name)
                if isinstance(before, dict) and isinstance(value, dict):
                    self._add(before, value)
                else:
                    self.told[name] = value
        if candidate.citationMetadata:
            self._add(self._cited, dict.fromkeys(sources_of(candidate.citationMetadata)))

    def _add(self, kept: dict[Any, Any], more: dict[Any, Any]) -> None:
        """Adds to what is kept until the end, which is only so much; most of it is what was told before."""
        count = len(kept)
        kept.update(more)
        if len(kept) > count:
            self._writer.extent.hold(len(repr(more)))

    def _part(self, part: Part[Any]) -> bool:
        """Takes a part; whether it is one that is known."""
        thought = part.thought is True
        if part.text is not None:
            self._text(part.text, _token(part), thought=thought)
        elif part.functionCall is not None:
            self._call(part.functionCall, _token(part))
        elif (blob := part.inlineData or part.fileData) is not None and not thought:
            self._writer.add_part(_media(blob, _token(part)))
        else:
            return False
        return True

    def _text(self, text: str, token: bytes, *, thought: bool) -> None:
        kind = ReasoningDelta if thought else TextDelta
        hidden = thought and not self._show
        if token:
            # A signed part goes back as it came: it is merged with none before or behind it.
            self._writer.leave()
        if text and not hidden:
            self._writer.say(kind, text)
            if not thought:
                self._keep(text)
        if token:
            self._writer.sign(kind, token)
            self._writer.leave()

    def _call(self, call: FunctionCall[Any], token: bytes) -> None:
        if call.partialArgs is not None or call.willContinue:
            raise UpstreamProtocolError("The provider sends arguments in pieces, which were not asked for.")
        call_id = identifier(call.id) or OUR_ID + self._reply.new_id().rpartition("_")[2]
        self._writer.open_call(call_id, call.name or "", as_text(call.args), token=token)

    def _other(self, fields: Fields, part: Part[Any]) -> None:
        """Takes a part that the API does not model: pictures among the thinking, code, whatever comes next."""
        token, thought = _token(part), part.thought is True
        named = {name: value for name, value in fields.items() if name not in _FLAGS and value is not None}
        if not named:
            if token:
                self._text("", token, thought=thought)
            return
        if thought and not self._show:
            return
        (kind, value), *more = named.items()
        if more or thought or not isinstance(value, dict):
            kind, value = WHOLE_PART, {name: value for name, value in fields.items() if name != "thoughtSignature"}
        self._writer.add_part(OpaquePart(provider_kind="gemini", type=kind, value=value, continuity_token=token))


def _token(part: Part[Any]) -> bytes:
    return part.thoughtSignature.encode("utf-8", "replace") if part.thoughtSignature else b""


def _media(blob: Blob, token: bytes) -> MediaPart:
    media_type = blob.mimeType or "application/octet-stream"
    kind = _KINDS.get(media_type.partition("/")[0], MediaKind.DOCUMENT)
    if blob.fileUri is not None:
        return MediaPart(kind=kind, uri=blob.fileUri, media_type=media_type, continuity_token=token)
    try:
        data = b64decode(blob.data or "")
    except ValueError as error:
        raise UpstreamProtocolError("The provider's media cannot be read.") from error
    return MediaPart(kind=kind, data=data, media_type=media_type, continuity_token=token)
