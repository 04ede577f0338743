"""Arguments that a server sends as an object, where this API has text: made text of the very bytes."""

from collections.abc import Sequence
from typing import Any, Final

from msgspec import Raw, Struct
from msgspec.json import Decoder

from llmproxy_grpc.errors import UpstreamProtocolError
from llmproxy_grpc.providers.jsonio import decode_whole
from llmproxy_grpc.providers.tool_arguments import as_text

_NOTHING: Final = Raw(b"null")


class _Item(Struct, gc=False):
    arguments: Raw = _NOTHING


class _Document(Struct, gc=False):
    """An event, or a whole response: wherever its items are."""

    item: _Item | None = None
    output: list[_Item] | None = None
    response: "_Document | None" = None

    def items(self) -> Sequence[_Item]:
        if self.response is not None:
            return self.response.items()
        return self.output or ([] if self.item is None else [self.item])


_DOCUMENT = Decoder(_Document)


def write_out(items: Sequence[Any], data: bytes) -> None:
    """Gives the calls among items their arguments as text; they keep the digits of their numbers.

    Args:
        items: All items of a document, of which those that need it are changed.
        data: The document.
    """
    calls = {position: item for position, item in enumerate(items) if _is_spelled_otherwise(item)}
    if not calls:
        return
    try:
        written = decode_whole(data, _DOCUMENT).items()
    except UpstreamProtocolError:  # an item is no object; what was decoded has to do
        written = ()
    for position, item in calls.items():
        item["arguments"] = as_text(written[position].arguments if position < len(written) else item["arguments"])


def _is_spelled_otherwise(item: Any) -> bool:
    return (
        isinstance(item, dict)
        and item.get("type") == "function_call"
        and not isinstance(item.get("arguments"), str | None)
    )
