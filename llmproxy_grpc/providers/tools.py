"""Tools in the shape of Chat Completions, which other APIs have taken over."""

from typing import Any

from msgspec import Raw

from llmproxy_grpc.messages import FunctionTool, ProviderTool
from llmproxy_grpc.providers.options import whole_numbers


def tool_json(tool: FunctionTool | ProviderTool, *, strict: bool = False) -> dict[str, Any]:
    """A tool as an entry of `tools`.

    Args:
        tool: The tool; one of the provider's own is its type and its settings.
        strict: Whether the API is told tool by tool that arguments must keep to the schema.
    """
    if isinstance(tool, ProviderTool):
        return {"type": tool.type, **whole_numbers(tool.config)}
    function: dict[str, Any] = {"name": tool.name}
    if tool.description:
        function["description"] = tool.description
    if tool.parameters_json_schema:
        # The schema is JSON already: the model gets it to the byte.
        function["parameters"] = Raw(tool.parameters_json_schema.encode())
    if strict and tool.strict is not None:
        function["strict"] = tool.strict
    return {"type": "function", "function": function}
