"""A conversation as every format takes it: one turn a speaker, calls beside the text, a result a turn.

Refusals are text: formats for training have no other place for them. Citations, cache hints and continuity tokens are
the proxy's and the provider's business, and stay behind.
"""

from collections.abc import Iterable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from llmproxy_grpc.datasets.skipping import SkipReason, Unfit
from llmproxy_grpc.messages import (
    MediaPart,
    Message,
    Part,
    ReasoningPart,
    RefusalPart,
    Role,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)

INSTRUCTIONS = frozenset({Role.SYSTEM, Role.DEVELOPER})


class Turn(Struct, frozen=True):
    """One turn.

    Attributes:
        role: Who speaks.
        text: What is said, if there is no media in it; its parts are lines of it, the model's parts one text.
        pieces: The same, in order, if there is media in it; else empty.
        reasoning: What of the thinking can be read, for a field of its own.
        thought: The same in tags, for the text that follows it.
        calls: The tools that the model asks for.
        result_of: The id of the call that this turn answers, for the role TOOL.
        tool: The name of the tool that answers, as far as known.
        failed: Whether the tool failed.
        name: Name of the participant.
    """

    role: Role
    text: str = ""
    pieces: tuple[str | MediaPart, ...] = ()
    reasoning: str = ""
    thought: str = ""
    calls: tuple[ToolCallPart, ...] = ()
    result_of: str = ""
    tool: str = ""
    failed: bool = False
    name: str = ""

    @property
    def spoken(self) -> str:
        """The text behind the thought."""
        return self.thought + self.text

    @property
    def is_empty(self) -> bool:
        """Whether nothing is said, but white space, and nothing asked for."""
        return not (self.text.strip() or self.pieces or self.calls)


def turns_of(messages: Iterable[Message], *, drop_system: bool = False, developer: Role = Role.DEVELOPER) -> list[Turn]:
    """Gives the turns of a conversation; a message with several results becomes several turns.

    Args:
        messages: The messages.
        drop_system: Whether instructions are left out.
        developer: The role in which the developer speaks.

    Raises:
        Unfit: A part stands where no format has a place for it, or a message says nothing.
    """
    turns: list[Turn] = []
    for message in messages:
        if message.role is Role.TOOL:
            turns += [_result(part) for part in message.parts]
        elif not (drop_system and message.role in INSTRUCTIONS):
            turns.append(_turn(message, developer if message.role is Role.DEVELOPER else message.role))
    return turns


def merged(turns: Sequence[Turn]) -> list[Turn]:
    """Joins consecutive turns of one role, results of tools excepted: each answers a call of its own."""
    joined: list[Turn] = []
    for turn in turns:
        if joined and joined[-1].role is turn.role is not Role.TOOL:
            joined[-1] = _together(joined[-1], turn)
        else:
            joined.append(turn)
    return joined


def without_blanks(turns: Sequence[Turn]) -> list[Turn]:
    """Leaves out white space that stands alone beside calls: models write it there, and some readers take no text."""
    return [replace(turn, text="") if turn.calls and turn.text.isspace() else turn for turn in turns]


def _turn(message: Message, role: Role) -> Turn:
    parts = message.parts
    if len(parts) == 1 and isinstance(part := parts[0], TextPart):
        turn = Turn(role, part.text, name=message.name)
    elif role is Role.ASSISTANT:
        turn = _assistant(message)
    else:
        text, pieces = _said(parts)
        turn = Turn(role, text, pieces, name=message.name)
    if turn.is_empty:
        raise Unfit(SkipReason.EMPTY_MESSAGE)
    return turn


def _assistant(message: Message) -> Turn:
    said = tuple([part for part in message.parts if not isinstance(part, ReasoningPart | ToolCallPart)])
    text, pieces = _said(said, between="")
    return Turn(
        Role.ASSISTANT,
        text,
        pieces,
        reasoning="".join([part.text for part in message.parts if isinstance(part, ReasoningPart)]),
        calls=tuple([part for part in message.parts if isinstance(part, ToolCallPart)]),
        name=message.name,
    )


def _result(part: Part) -> Turn:
    if not isinstance(part, ToolResultPart):
        raise Unfit(SkipReason.MISPLACED_PART)
    text, pieces = _said(part.content)
    return Turn(Role.TOOL, text, pieces, result_of=part.tool_call_id, tool=part.name, failed=part.is_error)


def _said(parts: Sequence[Part], *, between: str = "\n") -> tuple[str, tuple[str | MediaPart, ...]]:
    pieces: list[str | MediaPart] = []
    for part in parts:
        match part:
            case TextPart(text=text) | RefusalPart(text=text):
                pieces.append(text)
            case MediaPart():
                pieces.append(part)
            case ToolCallPart() | ToolResultPart() | ReasoningPart():
                raise Unfit(SkipReason.MISPLACED_PART)
            case _:
                raise Unfit(SkipReason.OPAQUE_PART)
    texts = [piece for piece in pieces if isinstance(piece, str)]
    if len(texts) == len(pieces):
        return between.join(texts), ()
    return "", tuple(pieces)


def _together(first: Turn, second: Turn) -> Turn:
    mixed = bool(first.pieces or second.pieces)
    return replace(
        first,
        text="" if mixed else _paragraphs(first.text, second.text),
        pieces=(*_pieces(first), *_pieces(second)) if mixed else (),
        reasoning=_paragraphs(first.reasoning, second.reasoning),
        calls=first.calls + second.calls,
        name=first.name if first.name == second.name else "",  # what two participants said is neither's
    )


def _pieces(turn: Turn) -> tuple[str | MediaPart, ...]:
    return turn.pieces or ((turn.text,) if turn.text else ())


def _paragraphs(first: str, second: str) -> str:
    return f"{first}\n\n{second}" if first and second else first or second
