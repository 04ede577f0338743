"""A conversation as the JSON body of POST /chat/completions."""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Raw
from msgspec.json import Encoder

from llmproxy_grpc.messages import ChatRequest, FunctionTool, ProviderTool, ToolChoice, ToolMode
from llmproxy_grpc.providers.chat_completions.generation import add_generation
from llmproxy_grpc.providers.chat_completions.history import History
from llmproxy_grpc.providers.chat_completions.options import add_options, whole_numbers
from llmproxy_grpc.providers.chat_completions.quirks import Quirks

TOOL_MODES: Mapping[ToolMode, str] = {
    ToolMode.AUTO: "auto",
    ToolMode.NONE: "none",
    ToolMode.REQUIRED: "required",
}

_ENCODER = Encoder()
_USAGE_WANTED = {"include_usage": True}


class RequestEncoder:
    """Encodes requests for one vendor; what the vendor cannot honour is left out.

    Args:
        quirks: What the vendor can do.
        provider_kinds: Whose options, tools and opaque parts are meant for it: the kind, then the vendor's own name.
    """

    def __init__(self, quirks: Quirks, provider_kinds: Sequence[str]) -> None:
        self._quirks = quirks
        self._provider_kinds = provider_kinds
        self._history = History(quirks, provider_kinds)

    def encode(self, request: ChatRequest, model: str, *, stream: bool) -> bytes:
        """Encodes a valid request; `model` is the vendor's own name."""
        body: dict[str, Any] = {"model": model, "messages": self._history.encode(request.messages)}
        if stream:
            body["stream"] = True
            if self._quirks.stream_options:
                body["stream_options"] = _USAGE_WANTED
        add_generation(body, request.generation, self._quirks)
        if request.tools and self._quirks.tools:
            self._add_tools(body, request)
        if request.end_user_id:
            body["user"] = request.end_user_id
        if request.provider_options:
            add_options(body, request.provider_options, self._provider_kinds)
        return _ENCODER.encode(body)

    def _add_tools(self, body: dict[str, Any], request: ChatRequest) -> None:
        tools = [tool for tool in map(self._tool, request.tools) if tool is not None]
        if not tools:
            return
        body["tools"] = tools
        if request.tool_choice is not None:
            self._add_choice(body, request.tool_choice)

    def _tool(self, tool: FunctionTool | ProviderTool) -> dict[str, Any] | None:
        if isinstance(tool, ProviderTool):
            if tool.provider_kind not in self._provider_kinds:
                return None
            return {"type": tool.type, **whole_numbers(tool.config)}
        function: dict[str, Any] = {"name": tool.name}
        if tool.description:
            function["description"] = tool.description
        if tool.parameters_json_schema:
            # The schema is JSON already: the model gets it to the byte.
            function["parameters"] = Raw(tool.parameters_json_schema.encode())
        if tool.strict is not None:
            function["strict"] = tool.strict
        return {"type": "function", "function": function}

    def _add_choice(self, body: dict[str, Any], choice: ToolChoice) -> None:
        if self._quirks.tool_choice:
            if choice.function_name:
                body["tool_choice"] = {"type": "function", "function": {"name": choice.function_name}}
            elif choice.mode:
                body["tool_choice"] = TOOL_MODES[choice.mode]
        if choice.parallel_tool_calls is not None and self._quirks.parallel_tool_calls:
            body["parallel_tool_calls"] = choice.parallel_tool_calls
