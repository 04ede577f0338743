"""The rules of tools and of the choice among them."""

from collections.abc import Collection, Sequence

from llmproxy_grpc._gen.v1 import content_pb2 as pb
from llmproxy_grpc.server.validation import bounds
from llmproxy_grpc.server.validation.findings import Findings
from llmproxy_grpc.server.validation.rules import (
    check_json_object,
    check_name,
    check_required_word,
    check_struct,
)


def check_tools(found: Findings, tools: Sequence[pb.Tool]) -> Collection[str]:
    """Checks the tools, and gives the names of the functions among them."""
    names: set[str] = set()
    if len(tools) > bounds.MAX_TOOLS:
        found.add("tools", f"must be at most {bounds.MAX_TOOLS}")
        return names
    for index, tool in enumerate(tools):
        kind = tool.WhichOneof("tool")
        if kind == "function":
            _check_function(found, f"tools[{index}].function", tool.function, names)
        elif kind == "provider":
            _check_provider_tool(found, f"tools[{index}].provider", tool.provider)
        else:
            found.add(f"tools[{index}]", "must be a function or a provider's tool")
    return names


def check_tool_choice(found: Findings, choice: pb.ToolChoice, names: Collection[str] | None) -> None:
    """Checks that the choice can be made.

    Args:
        found: Where violations go.
        choice: The choice.
        names: The functions' names; None if there are no tools.
    """
    if choice.WhichOneof("choice") == "function_name":
        if not choice.function_name:
            found.add("tool_choice.function_name", "is required")
        elif not names or choice.function_name not in names:
            found.add("tool_choice.function_name", "must be the name of a function in tools")
    elif choice.mode and names is None:
        found.add("tool_choice.mode", "needs tools")


def _check_function(found: Findings, field: str, function: pb.FunctionTool, names: set[str]) -> None:
    name = function.name
    check_name(found, f"{field}.name", name)
    if name in names:
        found.add(f"{field}.name", "must not be the name of another function")
    names.add(name)
    if function.parameters_json_schema:
        check_json_object(found, f"{field}.parameters_json_schema", function.parameters_json_schema)


def _check_provider_tool(found: Findings, field: str, tool: pb.ProviderTool) -> None:
    check_required_word(found, f"{field}.provider_kind", tool.provider_kind, bounds.MAX_PROVIDER)
    check_required_word(found, f"{field}.type", tool.type, bounds.MAX_NAME)
    if tool.HasField("config"):
        check_struct(found, f"{field}.config", tool.config)
