"""The items of a response's output, whole or in pieces, as the parts of a message."""

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final

from llmproxy_grpc.messages import Citation, OpaquePart, ReasoningDelta, RefusalDelta, TextDelta, ToolCallDelta
from llmproxy_grpc.providers.batch import Batch, TextKind
from llmproxy_grpc.providers.candidate import CallWriter, CandidateWriter
from llmproxy_grpc.providers.jsonio import joined
from llmproxy_grpc.providers.logprobs import read_positions
from llmproxy_grpc.providers.responses_api.citations import read_annotation, read_annotations
from llmproxy_grpc.providers.responses_api.continuity import CUSTOM_CALL, call_token, message_token, thinking_token
from llmproxy_grpc.providers.responses_api.shapes import Event
from llmproxy_grpc.providers.tool_arguments import as_text

Item = dict[str, Any]

PROVIDER_KIND: Final = "openai"
"""Whose blocks they are that the API does not model, whatever vendor speaks its wire."""
_MESSAGE: Final = "message"
_REASONING: Final = "reasoning"
_CALLS: Final = frozenset({"function_call", CUSTOM_CALL})
_CHARGED: Final = frozenset({"web_search_call", "file_search_call", "code_interpreter_call", "image_generation_call"})
_TOLD: Final = frozenset({"search_results", "fetch_url_results", CUSTOM_CALL})
"""What Perplexity found, and what xAI ran itself: told, and not taken back, so that it is no part of the message."""
_BETWEEN_THOUGHTS: Final = "\n\n"


class OpenItem:
    """An item while it comes.

    Attributes:
        kind: Its type.
        call: Writes its arguments; None unless it is a tool call.
        token: The continuity token of the call, as far as it is known.
        came: Whether any of it has come in pieces.
        piece: Which of its texts is coming; None where servers do not number them.
        summarizes: Whether its thinking comes as a summary; None until some came.
        said: Its parts of text and refusal, by their numbers.
        texts: Its parts by the numbers of its texts, where servers number them.
        cited: Whether any of its sources came by themselves.
        early: Sources that came before any of its texts, with the numbers of these.
        ended: Whether it is whole.
    """

    __slots__ = ("call", "came", "cited", "early", "ended", "kind", "piece", "said", "summarizes", "texts", "token")

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.call: CallWriter | None = None
        self.token = b""
        self.came = False
        self.piece: int | None = None
        self.summarizes: bool | None = None
        self.said: dict[int, TextKind] = {}
        self.texts: dict[int, int] = {}
        self.cited = False
        self.early: list[tuple[Any, Sequence[Citation]]] = []
        self.ended = False


class ItemWriter:
    """Writes items, one after the other; servers number them, name them, or do neither.

    Args:
        batch: Takes the events.
        new_id: Makes ids for tool calls that have none.
        show_thinking: Whether the caller wants to see the thinking.
        custom: The names of the caller's custom tools: a call of another is the provider's own, xAI's say. None if
            all are the caller's.
    """

    def __init__(
        self,
        batch: Batch,
        *,
        new_id: Callable[[], str],
        show_thinking: bool,
        custom: AbstractSet[str] | None = None,
    ) -> None:
        self.writer = CandidateWriter(0, batch)
        self._batch = batch
        self._new_id = new_id
        self._show = show_thinking
        self._custom = custom
        self._items: list[OpenItem] = []
        self._by_index: dict[int, OpenItem] = {}
        self._by_id: dict[str, OpenItem] = {}
        self.refused = False
        """Whether the model refused."""
        self.told: dict[str, Any] = {}
        """What items say that are no parts of the message, by their type."""
        self.charged = False
        """Whether the provider's own tools did something that it charges for beside the tokens."""

    @property
    def whole(self) -> bool:
        """Whether items came, and every one of them to its end."""
        return bool(self._items) and all(item.ended for item in self._items)

    def begin(self, event: Event) -> None:
        """Begins an item; some servers say so twice."""
        item = event.item
        if not isinstance(item, dict):
            return
        known = self._find(_text(item, "id"), event.output_index)
        if known is None or known.ended or known.kind != _kind(item):
            self._open(item, event.output_index)

    def say(self, event: Event, kind: TextKind) -> None:
        """Adds to the text or the refusal of a message."""
        item = self._coming(event, _MESSAGE)
        if item.came and event.content_index != item.piece:
            self.writer.leave()
        item.piece = event.content_index
        item.came = True
        self.refused = self.refused or kind is RefusalDelta
        said = event.delta if isinstance(event.delta, str) else ""
        self.writer.say(kind, said)
        if said:
            item.said[self.writer.last_part] = kind
        if said and kind is TextDelta and isinstance(event.content_index, int):
            item.texts[event.content_index] = self.writer.last_part
        if event.logprobs:
            self.writer.annotate(logprobs=read_positions(event.logprobs))
        if said and item.early:
            self._cite_early(item)

    def think(self, event: Event, *, summary: bool) -> None:
        """Adds to the thinking; where it comes both itself and as a summary, what comes first counts."""
        item = self._coming(event, _REASONING)
        if item.summarizes is None:
            item.summarizes = summary
        if not self._show or item.summarizes is not summary:
            return
        piece = event.summary_index if summary else event.content_index
        if item.came and piece != item.piece:
            self._thought(_BETWEEN_THOUGHTS, summary=summary)
        item.piece = piece
        item.came = True
        self._thought(event.delta if isinstance(event.delta, str) else "", summary=summary)

    def argue(self, event: Event) -> None:
        """Adds to the arguments of a tool call; without a call there is nobody to call."""
        item = self._find(event.item_id, event.output_index) or (self._items[-1] if self._items else None)
        if item is not None and item.call is not None and isinstance(event.delta, str) and event.delta:
            item.came = True
            item.call.arguments(event.delta)

    def cite(self, event: Event) -> None:
        """Adds a source of a text."""
        item = self._coming(event, _MESSAGE)
        citations = read_annotation(event.annotation)
        if item.said:
            item.cited = True
            self._cite(item, event.content_index, citations)
        elif citations:
            self._batch.extent.annotate((), citations)
            item.early.append((event.content_index, citations))

    def end(self, event: Event) -> None:
        """Ends an item, and takes from it whole what did not come in pieces."""
        item = event.item
        if not isinstance(item, dict):
            return
        item_id, kind = _text(item, "id"), _kind(item)
        opened = self._find(item_id, event.output_index)
        if opened is None and self._items and self._items[-1].kind == kind and not self._items[-1].ended:
            opened = self._items[-1]
        if opened is None or (opened.ended and item_id not in self._by_id):
            opened = self._open(item, event.output_index)
        self._end(opened, item)

    def complete(self, output: list[Any]) -> None:
        """Takes from the whole output what did not come before."""
        for position, item in enumerate(_objects(output)):
            self._end(self._items[position] if position < len(self._items) else self._open(item, None), item)

    def _find(self, item_id: Any, index: Any) -> OpenItem | None:
        """The item of this id, else the one at this place."""
        found = self._by_id.get(item_id) if isinstance(item_id, str) and item_id else None
        return self._by_index.get(index) if found is None and isinstance(index, int) else found

    def _coming(self, event: Event, kind: str) -> OpenItem:
        """The item that a piece belongs to: found, or the last one, or one that was never begun."""
        item = self._find(event.item_id, event.output_index)
        if item is None and self._items and self._items[-1].kind == kind:
            item = self._items[-1]
        if item is None or item.ended:
            item = self._open({"type": kind, "id": event.item_id}, event.output_index)
        return item

    def _open(self, item: Item, index: Any) -> OpenItem:
        self.writer.leave()
        opened = OpenItem(_kind(item))
        self._items.append(opened)
        if isinstance(index, int):
            self._by_index[index] = opened
        if item_id := _text(item, "id"):
            self._by_id[item_id] = opened
        if opened.kind in _CALLS and not self._is_served(item):
            opened.token = call_token(item)
            call_id = joined(_text(item, "call_id") or item_id) or self._new_id()
            opened.call = self.writer.open_call(call_id, joined(_text(item, "name")), token=opened.token)
        return opened

    def _end(self, opened: OpenItem, item: Item) -> None:
        if opened.ended:
            return
        opened.ended = True
        if opened.call is not None:
            self._end_call(opened, opened.call, item)
        elif opened.kind == _MESSAGE:
            self._end_message(opened, item)
        elif opened.kind == _REASONING:
            self._end_thinking(opened, item)
        elif opened.kind in _TOLD:
            self.charged = self.charged or opened.kind == CUSTOM_CALL
            self._batch.extent.part()
            self.told.setdefault(opened.kind, []).append({name: item[name] for name in item if name != "type"})
        else:
            self.charged = self.charged or opened.kind in _CHARGED
            value = {name: value for name, value in item.items() if name != "type"}
            self.writer.add_part(OpaquePart(provider_kind=PROVIDER_KIND, type=joined(opened.kind), value=value))
        self.writer.leave()

    def _is_served(self, item: Item) -> bool:
        """Whether the provider has run a tool of its own, which comes as if it were one of the caller's."""
        if self._custom is None or _kind(item) != CUSTOM_CALL or "namespace" in item:
            return False
        name = _text(item, "name")
        return bool(name) and name not in self._custom

    def _end_call(self, opened: OpenItem, call: CallWriter, item: Item) -> None:
        if not opened.came:
            call.arguments(_arguments(item))
        token = call_token(item)
        if token not in {opened.token, b""}:
            self._batch.add(ToolCallDelta(part_index=call.part_index, continuity_token=token))

    def _end_message(self, opened: OpenItem, item: Item) -> None:
        pieces = _objects(item.get("content"))
        if not opened.came:
            for piece in pieces:
                self._say_whole(opened, piece)
        elif opened.early:
            self._cite_early(opened)
        elif not opened.cited:
            # Some servers name the sources of a streamed text at its end alone.
            for number, piece in enumerate(pieces):
                self._cite(opened, number, read_annotations(piece.get("annotations")))
        token = message_token(item)
        if token:
            for part, kind in opened.said.items():
                self.writer.sign_part(part, token, kind)

    def _cite(self, item: OpenItem, number: Any, citations: Sequence[Citation]) -> None:
        """Adds sources to the text of this number, or to what came last."""
        part = item.texts.get(number, self.writer.last_part) if isinstance(number, int) else self.writer.last_part
        if citations and part != self.writer.last_part:
            self.writer.cite(part, citations)
        else:
            self.writer.annotate(citations=citations)

    def _cite_early(self, item: OpenItem) -> None:
        """Adds the sources that waited for a text."""
        item.cited = True
        for number, citations in item.early:
            self._cite(item, number, citations)
        item.early.clear()

    def _say_whole(self, opened: OpenItem, piece: Item) -> None:
        self.writer.leave()
        refused = piece.get("type") == "refusal"
        kind, said = (RefusalDelta, _text(piece, "refusal")) if refused else (TextDelta, _text(piece, "text"))
        self.refused = self.refused or refused
        self.writer.say(kind, said)
        if said:
            opened.said[self.writer.last_part] = kind
        if refused:
            return
        self.writer.annotate(
            logprobs=read_positions(piece.get("logprobs")), citations=read_annotations(piece.get("annotations"))
        )

    def _end_thinking(self, opened: OpenItem, item: Item) -> None:
        shown = opened.came
        if self._show and not shown:
            text, summary = _thoughts(item)
            self._thought(text, summary=summary)
            shown = bool(text)
        token = thinking_token(item)
        if token and shown:
            self.writer.sign(ReasoningDelta, token)
        elif token:
            self.writer.redact(token)

    def _thought(self, text: str, *, summary: bool) -> None:
        if not text:
            return
        if summary:
            self.writer.summarize(text)
        else:
            self.writer.say(ReasoningDelta, text)


def _kind(item: Item) -> str:
    return _text(item, "type") or (_MESSAGE if "content" in item else "unknown")


def _arguments(item: Item) -> str:
    """The arguments of a whole call: the model's own text, or the object that a server made of it."""
    arguments = item.get("input") if item.get("type") == CUSTOM_CALL else item.get("arguments")
    return "" if arguments is None else as_text(arguments)


def _thoughts(item: Item) -> tuple[str, bool]:
    """The thinking in a whole item, and whether it is a summary."""
    for name, summary in (("content", False), ("summary", True)):
        entries = item.get(name)
        texts = (
            [_text(entry, "text") for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
        )
        if text := _BETWEEN_THOUGHTS.join(filter(None, texts)):
            return text, summary
    return "", False


def _objects(values: Any) -> list[Item]:
    return [value for value in values if isinstance(value, dict)] if isinstance(values, list) else []


def _text(fields: Item, name: str) -> str:
    value = fields.get(name)
    return value if isinstance(value, str) else ""
