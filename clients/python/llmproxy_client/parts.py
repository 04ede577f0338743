"""One part of a message while its stream grows it: deltas of one candidate and part index append here."""

from llmproxy_client.errors import BrokenStream
from llmproxy_client.v1.chat_pb2 import ContentDelta
from llmproxy_client.v1.content_pb2 import Citation, ContentPart, Reasoning, ToolCall


class GrowingPart:
    """Collects the deltas of one part; text is joined once, at the end."""

    def __init__(self) -> None:
        self._kind: str | None = None
        self._pieces: list[str] = []
        self._call = ToolCall()
        self._thinking = Reasoning()
        self._whole = ContentPart()
        self._citations: list[Citation] = []
        self._continuity_token = b""

    def add(self, delta: ContentDelta) -> None:
        """Appends a delta. Raises BrokenStream if it is of another kind than the part."""
        kind = delta.WhichOneof("delta")
        if kind is not None:
            self._require_same(kind)
            self._append(kind, delta)
        self._citations.extend(delta.citations)
        # Each token is a whole one: the last one counts.
        self._continuity_token = delta.continuity_token or self._continuity_token

    def built(self) -> ContentPart:
        """The part as far as it came."""
        part = ContentPart()
        text = "".join(self._pieces)
        match self._kind:
            case "text":
                part.text = text
            case "refusal":
                part.refusal = text
            case "reasoning":
                part.reasoning.CopyFrom(self._thinking)
                part.reasoning.text = text
            case "tool_call":
                part.tool_call.CopyFrom(self._call)
                part.tool_call.arguments_json = text
            case "part":
                part.CopyFrom(self._whole)
        part.citations.extend(self._citations)
        if self._continuity_token:
            part.continuity_token = self._continuity_token
        return part

    def _require_same(self, kind: str) -> None:
        if self._kind == "part" or self._kind not in (None, kind):
            raise BrokenStream(f"a part of kind {self._kind} cannot take more of {kind}")
        self._kind = kind

    def _append(self, kind: str, delta: ContentDelta) -> None:
        match kind:
            case "text":
                self._pieces.append(delta.text)
            case "refusal":
                self._pieces.append(delta.refusal)
            case "reasoning":
                self._pieces.append(delta.reasoning.text)
                self._thinking.redacted |= delta.reasoning.redacted
                self._thinking.summary |= delta.reasoning.summary
            case "tool_call":
                self._pieces.append(delta.tool_call.arguments_json)
                # With the first fragment only, says the API; a provider that repeats them changes nothing.
                self._call.id = self._call.id or delta.tool_call.id
                self._call.name = self._call.name or delta.tool_call.name
            case "part":
                self._whole = delta.part
