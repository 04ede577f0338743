"""Tool calls, whole and put together from fragments, whichever way a server numbers them."""

from collections.abc import Callable, Sequence
from typing import Any

from llmproxy_grpc.messages import ToolCallPart
from llmproxy_grpc.providers.candidate import CallWriter
from llmproxy_grpc.providers.chat_completions.history import CUSTOM_CALL
from llmproxy_grpc.providers.chat_completions.shapes import Content, ToolCall
from llmproxy_grpc.providers.extent import Extent, check_calls
from llmproxy_grpc.providers.jsonio import joined
from llmproxy_grpc.providers.tool_arguments import GrowingObject, Pieces, as_text

_LEGACY_INDEX = -1


class OpenCall:
    """A tool call of a stream, while its fragments come.

    Attributes:
        id: Its id, the server's or ours.
        provider_id: The server's id; empty if it gave none.
        name: Its function; empty until known.
        custom: Whether its input is free text.
        writer: Writes its arguments; None until its name is known.
        delta: The number of the delta that its last fragment came in.
        said_again: Whether its name came once more when its arguments were whole.
    """

    __slots__ = ("_arguments", "_held", "custom", "delta", "id", "name", "provider_id", "said_again", "writer")

    def __init__(self, call_id: str, provider_id: str, extent: Extent) -> None:
        self.id = call_id
        self.provider_id = provider_id
        self.name = ""
        self.custom = False
        self.writer: CallWriter | None = None
        self.delta = 0
        self.said_again = False
        self._arguments = None if provider_id else GrowingObject(extent)
        self._held = Pieces()

    @property
    def whole(self) -> bool:
        """Whether its arguments are an object already, for a call to which the server gave no id."""
        return self._arguments is not None and not self.custom and self._arguments.is_whole()

    def take(self, arguments: str) -> None:
        """Takes a piece of the arguments; of a call that its id tells from any other none has to be kept."""
        if self._arguments is not None:
            self._arguments.add(arguments)

    def hold(self, arguments: str) -> None:
        """Keeps a piece of the arguments that comes before the name."""
        self._held.add(arguments)

    def held(self) -> str:
        """Gives what was kept of them, and keeps it no longer."""
        held = self._held.text()
        self._held = Pieces()
        return held

    @property
    def token(self) -> bytes:
        """The continuity token of its part."""
        return CUSTOM_CALL if self.custom else b""


class OpenCalls:
    """The tool calls of one candidate of a stream.

    Args:
        new_id: Makes an id for a call to which the server gives none.
        extent: What the stream has held so far.
    """

    def __init__(self, new_id: Callable[[], str], extent: Extent) -> None:
        self._new_id = new_id
        self._extent = extent
        self._modern = False
        self._by_index: dict[int, OpenCall] = {}
        self._by_id: dict[str, OpenCall] = {}
        self._delta = 0
        self.calls: list[OpenCall] = []

    def fragments(self, delta: Content[Any]) -> Sequence[ToolCall[Any]]:
        """The fragments in a delta; the old `function_call` counts only where no `tool_calls` ever come."""
        self._delta += 1
        if delta.tool_calls:
            self._modern = True
            return delta.tool_calls
        if delta.function_call is None or self._modern:
            return ()
        return (ToolCall(index=_LEGACY_INDEX, function=delta.function_call),)

    def call_of(self, fragment: ToolCall[Any], arguments: str) -> OpenCall:
        """Finds the call that a fragment with these arguments continues, or opens a new one."""
        index = None if fragment.index is None else int(fragment.index)
        provider_id, name = call_id(fragment), call_name(fragment)
        known = None if index is None else self._by_index.get(index)
        call = self._find(index, provider_id, name, arguments)
        if call is None:
            call = self._open(provider_id)
            if known is not None and known.said_again:
                call.name = name or known.name
        if index is not None:
            self._by_index[index] = call
        call.take(arguments)
        call.delta = self._delta
        return call

    def hold(self, call: OpenCall, arguments: str) -> None:
        """Keeps a piece of the arguments of a call whose name has not come.

        Raises:
            UpstreamProtocolError: It is too much for all such calls of the stream together.
        """
        self._extent.hold(len(arguments))
        call.hold(arguments)

    def _find(self, index: int | None, provider_id: str, name: str, arguments: str) -> OpenCall | None:
        """A new id opens a call, whatever its index: several servers give every parallel call the index 0."""
        known = None if index is None else self._by_index.get(index)
        if provider_id:
            # Servers that give an id only after the first fragment don't repeat the name with it.
            late = known is not None and not known.provider_id and not name
            return self._by_id.get(provider_id) or (known if late else None)
        if known is not None:
            return None if self._is_another(known, name, arguments) else known
        if index is not None or name or not self.calls:
            return None
        return self.calls[-1]

    def _is_another(self, known: OpenCall, name: str, arguments: str) -> bool:
        """Whether a fragment without an id is not of the call that has its number: some give them all the same."""
        if name and known.name:
            if name != known.name or known.delta == self._delta:
                return True
            # Some say the name with every fragment, but behind a whole object there can be nothing more of it.
            known.said_again = known.said_again or known.whole
        return known.said_again and bool(arguments.strip())

    def _open(self, provider_id: str) -> OpenCall:
        call = OpenCall(provider_id or self._new_id(), provider_id, self._extent)
        self.calls.append(call)
        check_calls(len(self.calls))  # those without a name are parts only at the end
        if provider_id:
            self._by_id[provider_id] = call
        return call


def whole_calls(message: Content[Any], new_id: Callable[[], str]) -> list[ToolCallPart]:
    """Reads the tool calls of a whole message: each entry is a call of its own, with an id of its own."""
    calls = message.tool_calls or []
    if not calls and message.function_call is not None:
        calls = [ToolCall(function=message.function_call)]
    check_calls(len(calls))
    parts: list[ToolCallPart] = []
    taken: set[str] = set()
    for call in calls:
        identifier = call_id(call)
        if not identifier or identifier in taken:
            identifier = new_id()
        taken.add(identifier)
        token = b"" if call.custom is None else CUSTOM_CALL
        parts.append(
            ToolCallPart(
                id=identifier,
                name=call_name(call),
                arguments_json=joined(call_arguments(call)),
                continuity_token=token,
            )
        )
    return parts


def call_id(call: ToolCall[Any]) -> str:
    """The server's id of a call, which is a number at some; empty if there is none."""
    identifier = call.id
    if isinstance(identifier, str):
        return joined(identifier)
    return "" if identifier is None else str(identifier)


def call_name(call: ToolCall[Any]) -> str:
    """The name in a call or fragment; empty if it has none."""
    named = call.function or call.custom
    return joined(named.name or "") if named is not None else ""


def call_arguments(call: ToolCall[Any]) -> str:
    """The arguments in a call or fragment: the model's own text, or the object that a server made of it."""
    if call.function is not None:
        return as_text(call.function.arguments, absent="")
    return (call.custom.input or "") if call.custom is not None else ""
