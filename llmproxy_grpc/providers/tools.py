"""Tools in the shape of Chat Completions, which other APIs have taken over, and what forbids to call any."""

from typing import Any, Final

from msgspec import Raw

from llmproxy_grpc.messages import FunctionTool, ProviderTool, ToolChoice, ToolMode
from llmproxy_grpc.providers.options import whole_numbers
from llmproxy_grpc.providers.schema_forms import fields_of, may_be_object

NO_PARAMETERS: Final = {"type": "object", "properties": {}}
"""The schema of a function without arguments."""
_ELSEWHERE: Final = frozenset({"$ref", "$dynamicRef", "allOf", "anyOf", "oneOf", "if"})
"""Where a schema may have its properties instead."""


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
    # Some demand parameters of every function, Mistral and Cohere among them.
    function["parameters"] = parameters_of(tool)
    if strict and tool.strict is not None:
        function["strict"] = tool.strict
    return {"type": "function", "function": function}


def parameters_of(tool: FunctionTool) -> Raw | dict[str, Any]:
    """The schema of a function's arguments: JSON already, which the model gets to the byte; without one there are none.

    That arguments are an object, and have the properties that it names, goes without saying in a schema and is said
    all the same: vendors refuse one without. Where a schema is held to it has to say that there are no others.
    """
    schema = tool.parameters_json_schema
    said = fields_of(schema) if schema else None
    if not said:
        return {**NO_PARAMETERS, "additionalProperties": False} if tool.strict else NO_PARAMETERS
    unsaid = "" if "type" in said else '"type":"object",'
    if "properties" not in said and may_be_object(said) and not said.keys() & _ELSEWHERE:
        unsaid += '"properties":{},'
    return Raw((schema.replace("{", f"{{{unsaid}", 1) if unsaid else schema).encode())


def forbids_calls(choice: ToolChoice | None) -> bool:
    """Whether no tool may be called: where there is no word for it, the tools are left out, so that none is."""
    return choice is not None and choice.mode is ToolMode.NONE and not choice.function_name
