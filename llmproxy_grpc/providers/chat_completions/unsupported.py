"""Names the set fields of a request that a vendor cannot honour; the request's encoders leave the same ones out."""

from collections.abc import Collection, Iterator, Mapping

from llmproxy_grpc.messages import (
    ChatRequest,
    GenerationConfig,
    JsonObject,
    JsonSchemaFormat,
    MediaPart,
    Message,
    Modality,
    OpaquePart,
    Part,
    ProviderTool,
    ReasoningConfig,
    ReasoningEffort,
    Role,
    TextPart,
    ToolChoice,
    ToolMode,
    ToolResultPart,
)
from llmproxy_grpc.providers.chat_completions.media import objection
from llmproxy_grpc.providers.chat_completions.options import DENIED_OPTIONS
from llmproxy_grpc.providers.chat_completions.quirks import Quirks, ReasoningStyle
from llmproxy_grpc.providers.provider import Unsupported

_DEFAULTS = GenerationConfig()
_NOT_HERE = "this provider has no such setting"

# Settings that one flag decides.
_FLAGS = (
    ("top_k", "top_k"),
    ("seed", "seed"),
    ("presence_penalty", "penalties"),
    ("frequency_penalty", "penalties"),
    ("top_logprobs", "logprobs"),
    ("logit_bias", "logit_bias"),
)


class Limits:
    """What one vendor cannot honour.

    Args:
        quirks: What the vendor can do.
        provider_kinds: Whose options, tools and opaque parts are meant for it.
    """

    def __init__(self, quirks: Quirks, provider_kinds: Collection[str]) -> None:
        self._quirks = quirks
        self._kinds = provider_kinds

    def unsupported(self, request: ChatRequest) -> list[Unsupported]:
        """Lists the set fields that the vendor cannot honour, by their paths."""
        found: list[Unsupported] = []
        for index, message in enumerate(request.messages):
            found += self._in_message(message, f"messages[{index}]")
        if request.generation != _DEFAULTS:
            fields = _in_generation(request.generation, self._quirks)
            found += [Unsupported(f"generation.{field}", reason) for field, reason in fields]
        if request.tools:
            found += self._in_tools(request)
        if request.provider_options:
            found += self._in_options(request.provider_options)
        return found

    def _in_message(self, message: Message, path: str) -> Iterator[Unsupported]:
        if message.name and not self._quirks.message_name:
            yield Unsupported(f"{path}.name", "this provider takes no names of participants")
        media = message.role not in {Role.ASSISTANT, Role.TOOL}
        for index, part in enumerate(message.parts):
            if part.__class__ is not TextPart or part.cache_hint is not None:
                yield from self._in_part(part, f"{path}.parts[{index}]", media=media)

    def _in_part(self, part: Part, path: str, *, media: bool) -> Iterator[Unsupported]:
        if part.cache_hint is not None and not self._quirks.cache_control:
            yield Unsupported(f"{path}.cache_hint", "this provider decides by itself what to cache")
        if isinstance(part, MediaPart):
            reason = objection(part, self._quirks) if media else "media is taken in prompts alone"
            if reason:
                yield Unsupported(f"{path}.{part.kind.name.lower()}", reason)
        elif isinstance(part, OpaquePart) and part.provider_kind not in self._kinds:
            yield Unsupported(f"{path}.opaque", "this block belongs to another kind of provider")
        elif isinstance(part, ToolResultPart):
            for index, content in enumerate(part.content):
                yield from self._in_part(content, f"{path}.tool_result.content[{index}]", media=False)

    def _in_tools(self, request: ChatRequest) -> Iterator[Unsupported]:
        if not self._quirks.tools:
            yield Unsupported("tools", "this provider calls no tools")
            return
        for index, tool in enumerate(request.tools):
            if isinstance(tool, ProviderTool) and tool.provider_kind not in self._kinds:
                yield Unsupported(f"tools[{index}].provider", "this tool belongs to another kind of provider")
        if request.tool_choice is not None:
            yield from _in_tool_choice(request.tool_choice, self._quirks)

    def _in_options(self, options: Mapping[str, JsonObject]) -> Iterator[Unsupported]:
        for kind in self._kinds:
            for option in options.get(kind, {}):
                if option in DENIED_OPTIONS:
                    yield Unsupported(f'provider_options["{kind}"].{option}', "this is the proxy's to set")


def _in_generation(config: GenerationConfig, quirks: Quirks) -> Iterator[tuple[str, str]]:
    for field, flag in _FLAGS:
        if getattr(config, field) is not None and not getattr(quirks, flag):
            yield field, _NOT_HERE
    if len(config.stop_sequences) > quirks.max_stop_sequences:
        yield "stop_sequences", f"this provider takes {quirks.max_stop_sequences} at most"
    if config.candidate_count not in {None, 1} and not quirks.n:
        yield "candidate_count", "this provider gives one candidate"
    if isinstance(config.response_format, JsonSchemaFormat) and not quirks.json_schema:
        yield "response_format.json_schema", "this provider knows JSON without a schema alone"
    if any(modality is not Modality.TEXT for modality in config.output_modalities):
        yield "output_modalities", "answers are text"
    if config.reasoning is not None:
        yield from _in_reasoning(config.reasoning, quirks)


def _in_reasoning(reasoning: ReasoningConfig, quirks: Quirks) -> Iterator[tuple[str, str]]:
    if reasoning.effort is not ReasoningEffort.UNSPECIFIED and quirks.reasoning is ReasoningStyle.UNSUPPORTED:
        yield "reasoning.effort", _NOT_HERE
    if reasoning.budget_tokens is not None and quirks.reasoning is not ReasoningStyle.OBJECT:
        yield "reasoning.budget_tokens", "this provider takes an effort, not a number of tokens"
    if reasoning.include and not quirks.shows_reasoning:
        yield "reasoning.include", "this provider does not show the thinking"


def _in_tool_choice(choice: ToolChoice, quirks: Quirks) -> Iterator[Unsupported]:
    if choice.parallel_tool_calls is not None and not quirks.parallel_tool_calls:
        yield Unsupported("tool_choice.parallel_tool_calls", _NOT_HERE)
    if quirks.tool_choice:
        return
    if choice.function_name:
        yield Unsupported("tool_choice.function_name", "this provider lets the model decide")
    elif choice.mode not in {ToolMode.UNSPECIFIED, ToolMode.AUTO}:
        yield Unsupported("tool_choice.mode", "this provider lets the model decide")
