"""Whose a call of a custom tool is: the caller's, or that of the provider, which has run it already."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from llmproxy_grpc.messages import ChatRequest, ProviderTool

_CUSTOM = "custom"


def names_of_custom_tools(request: ChatRequest) -> frozenset[str] | None:
    """The names of the custom tools that a request has, also those within others or among its options.

    None if it has no tools that are not functions: then nobody but the caller can be meant by any call.
    """
    given: list[Any] = [{**tool.config, "type": tool.type} for tool in request.tools if isinstance(tool, ProviderTool)]
    for options in request.provider_options.values():
        given += _listed(options.get("tools"))
    return frozenset(_names(given)) if given else None


def _names(tools: Iterable[Any]) -> Iterator[str]:
    for tool in tools:
        if not isinstance(tool, Mapping):
            continue
        # Those of a group stand within it, one below the other.
        for each in (tool, *_listed(tool.get("tools"))):
            if isinstance(each, Mapping) and each.get("type") == _CUSTOM and isinstance(each.get("name"), str):
                yield each["name"]


def _listed(tools: Any) -> list[Any]:
    return list(tools) if isinstance(tools, list | tuple) else []
