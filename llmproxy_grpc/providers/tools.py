"""Tools in the shape of Chat Completions, which other APIs have taken over, and what forbids to call any."""

from typing import Any

from msgspec import Raw

from llmproxy_grpc.messages import FunctionTool, ProviderTool, ToolChoice, ToolMode
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


def forbids_calls(choice: ToolChoice | None) -> bool:
    """Whether no tool may be called: where there is no word for it, the tools are left out, so that none is."""
    return choice is not None and choice.mode is ToolMode.NONE and not choice.function_name
