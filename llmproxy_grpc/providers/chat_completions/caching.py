"""What of a prompt to cache, as marks on its parts."""

from typing import Any

from llmproxy_grpc.messages import CacheHint
from llmproxy_grpc.providers.chat_completions.quirks import CacheStyle

_SHORT_CONTROL = 300.0
_SHORT_BREAKPOINT = 1800.0


def cache_mark(hint: CacheHint, style: CacheStyle) -> dict[str, Any]:
    """The field that marks the part up to which to cache; of two lifetimes, the shorter one that is long enough."""
    if style is CacheStyle.BREAKPOINT:
        mark = {"mode": "explicit"}
        if hint.ttl is not None:
            mark["ttl"] = "12h" if hint.ttl > _SHORT_BREAKPOINT else "30m"
        return {"prompt_cache_breakpoint": mark}
    control = {"type": "ephemeral"}
    if hint.ttl is not None:
        control["ttl"] = "1h" if hint.ttl > _SHORT_CONTROL else "5m"
    return {"cache_control": control}
