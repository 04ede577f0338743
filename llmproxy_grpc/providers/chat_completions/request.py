"""A conversation as the JSON body of POST /chat/completions."""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.json import Encoder

from llmproxy_grpc.messages import ChatRequest, ToolChoice, ToolMode
from llmproxy_grpc.providers.chat_completions.generation import add_generation
from llmproxy_grpc.providers.chat_completions.history import History
from llmproxy_grpc.providers.chat_completions.pictures import add_pictures
from llmproxy_grpc.providers.chat_completions.quirks import PrefillStyle, Quirks
from llmproxy_grpc.providers.chat_completions.speech import add_speech
from llmproxy_grpc.providers.options import add_options
from llmproxy_grpc.providers.tools import forbids_calls, tool_json

TOOL_MODES: Mapping[ToolMode, str] = {
    ToolMode.AUTO: "auto",
    ToolMode.NONE: "none",
    ToolMode.REQUIRED: "required",
}

_ENCODER = Encoder()
_USAGE_WANTED = {"include_usage": True}


class RequestEncoder:
    """Encodes requests for one vendor, adapted to its features.

    Args:
        quirks: What the vendor can do.
        names: Whose options are meant for it: the kind, then the vendor's own name, which wins.
    """

    def __init__(self, quirks: Quirks, names: Sequence[str]) -> None:
        self._quirks = quirks
        self._names = names
        self._history = History(quirks)

    def encode(self, request: ChatRequest, model: str, *, stream: bool) -> bytes:
        """Encodes an adapted request; `model` is the vendor's own name."""
        body: dict[str, Any] = {"model": model, "messages": self._history.encode(request.messages)}
        if request.begun:
            _go_on(body, self._quirks)
        if stream:
            body["stream"] = True
            if self._quirks.stream_options:
                body["stream_options"] = _USAGE_WANTED
        add_generation(body, request.generation, self._quirks)
        if request.generation.output_modalities:
            add_speech(body, request.generation, stream=stream)
            add_pictures(body, request.generation)
        if self._quirks.tool_choice or not forbids_calls(request.tool_choice):
            _add_tools(body, request)
        if request.end_user_id and self._quirks.user_field:
            body[self._quirks.user_field] = request.end_user_id
        if request.provider_options:
            add_options(body, request.provider_options, self._names)
        return _ENCODER.encode(body)


def _go_on(body: dict[str, Any], quirks: Quirks) -> None:
    """Says that the last message is the beginning of the answer."""
    if quirks.prefill in {PrefillStyle.PREFIX, PrefillStyle.PREFIX_ECHOED}:
        body["messages"][-1]["prefix"] = True
    elif quirks.prefill is PrefillStyle.CONTINUE:
        body |= {"continue_final_message": True, "add_generation_prompt": False}


def _add_tools(body: dict[str, Any], request: ChatRequest) -> None:
    if request.tools:
        body["tools"] = [tool_json(tool, strict=True) for tool in request.tools]
    if request.tool_choice is not None:
        _add_choice(body, request.tool_choice)


def _add_choice(body: dict[str, Any], choice: ToolChoice) -> None:
    if choice.function_name:
        body["tool_choice"] = {"type": "function", "function": {"name": choice.function_name}}
    elif choice.mode:
        body["tool_choice"] = TOOL_MODES[choice.mode]
    if choice.parallel_tool_calls is not None:
        body["parallel_tool_calls"] = choice.parallel_tool_calls
