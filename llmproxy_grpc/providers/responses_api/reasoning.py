"""Items of thinking and the continuity tokens in which they come back: whole, as the API demands without a store."""

from typing import Any

import msgspec

_ITEM = msgspec.json.Decoder(dict[str, Any])


def reasoning_token(item: dict[str, Any]) -> bytes:
    """The token of an item; empty if it is not encrypted: nobody could read it again."""
    if not item.get("encrypted_content"):
        return b""
    return msgspec.json.encode({name: item[name] for name in ("id", "summary", "encrypted_content") if name in item})


def reasoning_item(token: bytes) -> dict[str, Any] | None:
    """The item that a token holds; None without one."""
    if not token:
        return None
    try:
        item = _ITEM.decode(token)
    except ValueError:
        return None
    return {"type": "reasoning", "summary": [], **item}


def reasoning_text(item: dict[str, Any]) -> tuple[str, bool]:
    """The thinking in an item, and whether it is a summary."""
    for name, summary in (("content", False), ("summary", True)):
        entries = item.get(name)
        texts = [each.get("text") for each in entries if isinstance(each, dict)] if isinstance(entries, list) else []
        text = "\n\n".join(each for each in texts if isinstance(each, str) and each)
        if text:
            return text, summary
    return "", False
