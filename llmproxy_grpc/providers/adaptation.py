"""Adapts a request to what a provider can do: what it cannot honour is left out, and named by its path."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from operator import is_
from typing import Any, TypeVar

from msgspec.structs import replace

from llmproxy_grpc.messages import (
    ChatRequest,
    FunctionTool,
    GenerationConfig,
    JsonObject,
    JsonObjectFormat,
    JsonSchemaFormat,
    MediaDetail,
    MediaPart,
    Message,
    OpaquePart,
    Part,
    ProviderTool,
    ReasoningConfig,
    ReasoningEffort,
    Role,
    TextPart,
    ToolCallPart,
    ToolChoice,
    ToolMode,
    ToolResultPart,
)
from llmproxy_grpc.providers.features import PLAIN_SETTINGS, Features, Place
from llmproxy_grpc.providers.media import media_objection, with_bytes
from llmproxy_grpc.providers.options import is_denied
from llmproxy_grpc.providers.provider import Adapted, Change, Unsupported

_T = TypeVar("_T")

_DEFAULTS = GenerationConfig()
_NOT_HERE = "this provider has no such setting"


def adapt(request: ChatRequest, features: Features) -> Adapted:
    """Gives a valid request without what these features lack, and the list of what that is.

    A message all of whose parts were left out stays, empty.
    """
    adaptation = _Adaptation(features)
    fields: dict[str, Any] = {}
    messages = adaptation.messages(request.messages)
    if messages is not request.messages:
        fields["messages"] = messages
    if request.generation is not _DEFAULTS and request.generation != _DEFAULTS:
        fields["generation"] = adaptation.generation(request.generation)
    if request.tools:
        fields["tools"] = adaptation.tools(request.tools)
    if request.tool_choice is not None:
        fields["tool_choice"] = adaptation.tool_choice(request.tool_choice, fields.get("tools", ()))
    if request.provider_options:
        meant, denied = meant_options(request.provider_options, features.names)
        fields["provider_options"] = meant
        adaptation.found.extend(denied)
    adapted = replace(request, **fields) if fields else request
    return Adapted(adapted, tuple(adaptation.found), tuple(adaptation.changes), adaptation.numbers)


def meant_options(
    options: Mapping[str, JsonObject], names: Iterable[str]
) -> tuple[Mapping[str, JsonObject], Sequence[Unsupported]]:
    """Gives the options that are meant for a provider of these names, and those that are the proxy's to set."""
    meant: dict[str, JsonObject] = {}
    denied: list[Unsupported] = []
    for name in names:
        if given := options.get(name):
            meant[name] = {option: value for option, value in given.items() if not is_denied(option)}
            paths = (f'provider_options["{name}"].{option}' for option in given if is_denied(option))
            denied.extend(Unsupported(path, "this is the proxy's to set") for path in paths)
    return meant, denied


class _Adaptation:
    """One request on its way: what was left out, what has another value now, and what numbers the rest had."""

    def __init__(self, features: Features) -> None:
        self._features = features
        self.found: list[Unsupported] = []
        self.changes: list[Change] = []
        self.numbers: dict[str, Sequence[int]] = {}

    def messages(self, messages: tuple[Message, ...]) -> tuple[Message, ...]:
        """The messages; the same tuple if nothing has to go."""
        adapted = [self._message(message, index) for index, message in enumerate(messages)]
        return messages if all(map(is_, adapted, messages)) else tuple(adapted)

    def tools(self, tools: tuple[FunctionTool | ProviderTool, ...]) -> tuple[FunctionTool | ProviderTool, ...]:
        """The tools that can be used."""
        if not self._features.tools and not any(isinstance(tool, ProviderTool) for tool in tools):
            self._leave_out("tools", "this provider calls no tools")
            return ()
        return self._kept(tools, self._tool, "tools")

    def tool_choice(self, choice: ToolChoice, tools: tuple[FunctionTool | ProviderTool, ...]) -> ToolChoice | None:
        """The choice, as far as it can be demanded, among the tools that are left; None if there are none."""
        features = self._features
        if choice.function_name and not any(_is_called(tool, choice.function_name) for tool in tools):
            self._leave_out("tool_choice.function_name", "this function is left out")
            choice = replace(choice, function_name="")
        if not tools:
            if choice.mode is ToolMode.REQUIRED:
                self._leave_out("tool_choice.mode", "no tool is left to call")
            return None
        if choice.function_name and not features.named_tool:
            self._leave_out("tool_choice.function_name", "this provider cannot be told which function to call")
            choice = replace(choice, function_name="")
        if choice.mode is not ToolMode.UNSPECIFIED and choice.mode not in features.tool_modes:
            self._leave_out("tool_choice.mode", "this provider cannot be told so")
            choice = replace(choice, mode=ToolMode.UNSPECIFIED)
        if choice.parallel_tool_calls is not None and not features.parallel_tool_calls:
            self._leave_out("tool_choice.parallel_tool_calls", _NOT_HERE)
            choice = replace(choice, parallel_tool_calls=None)
        return choice

    def generation(self, config: GenerationConfig) -> GenerationConfig:
        """The settings that exist."""
        features = self._features
        gone: dict[str, Any] = dict.fromkeys(self._without_place(config))
        if len(config.stop_sequences) > features.max_stop_sequences:
            limit = features.max_stop_sequences
            gone["stop_sequences"] = ()
            self._leave_out("generation.stop_sequences", f"this provider takes {limit} at most" if limit else _NOT_HERE)
        if config.candidate_count is not None and not features.many_candidates:
            # One is what comes anyway.
            gone["candidate_count"] = None
            if config.candidate_count != 1:
                self._leave_out("generation.candidate_count", "this provider gives one candidate")
        wanted = tuple(modality for modality in config.output_modalities if modality in features.output_modalities)
        if len(wanted) < len(config.output_modalities):
            gone["output_modalities"] = wanted
            self._leave_out("generation.output_modalities", "this provider does not answer with these")
        if config.response_format is not None:
            gone["response_format"] = self._response_format(config.response_format)
        if config.reasoning is not None:
            gone["reasoning"] = self._reasoning(config.reasoning)
        return replace(config, **gone) if gone else config

    def _without_place(self, config: GenerationConfig) -> Iterator[str]:
        """The plain settings that do not exist, or not with their values."""
        features = self._features
        for field in PLAIN_SETTINGS:
            value = getattr(config, field)
            if value is None:
                continue
            if field not in features.settings:
                why = _NOT_HERE
            elif field == "seed" and value not in features.seeds:
                why = f"this provider takes seeds from {features.seeds[0]} to {features.seeds[-1]}"
            elif field in features.ranges and not _is_within(value, features.ranges[field]):
                why = "this provider takes {:g} to {:g}".format(*features.ranges[field])
            else:
                continue
            self._leave_out(f"generation.{field}", why)
            yield field

    def _leave_out(self, field: str, why: str) -> None:
        self.found.append(Unsupported(field, why))

    def _kept(self, items: tuple[_T, ...], each: Callable[[_T, str], _T | None], path: str) -> tuple[_T, ...]:
        """What remains of a sequence; the same tuple if everything does."""
        adapted = [each(item, f"{path}[{index}]") for index, item in enumerate(items)]
        if all(map(is_, adapted, items)):
            return items
        rest = {number: item for number, item in enumerate(adapted) if item is not None}
        if len(rest) < len(items):
            self.numbers[path] = tuple(rest)
        return tuple(rest.values())

    def _message(self, message: Message, index: int) -> Message:
        parts = message.parts
        if not all(part.__class__ is TextPart and part.cache_hint is None for part in parts):
            place = Place.ANSWER if message.role in {Role.ASSISTANT, Role.TOOL} else Place.PROMPT
            parts = self._kept(parts, partial(self._part, place=place), f"messages[{index}].parts")
        if message.name and not self._features.message_name:
            self._leave_out(f"messages[{index}].name", "this provider takes no names of participants")
            return replace(message, parts=parts, name="")
        return message if parts is message.parts else replace(message, parts=parts)

    def _part(self, part: Part, path: str, *, place: Place) -> Part | None:
        if part.cache_hint is not None and not self._features.cache_hints:
            self._leave_out(f"{path}.cache_hint", "this provider decides by itself what to cache")
            part = replace(part, cache_hint=None)
        if isinstance(part, MediaPart):
            return self._media(part, path, place)
        if isinstance(part, OpaquePart):
            return self._opaque(part, f"{path}.opaque", place)
        if isinstance(part, ToolCallPart):
            return self._call(part, f"{path}.tool_call")
        if isinstance(part, ToolResultPart):
            return self._result(part, f"{path}.tool_result")
        return part

    def _call(self, part: ToolCallPart, path: str) -> ToolCallPart:
        form = self._features.function_names
        if form.takes(part.name):
            return part
        # A model chose it: without the call its result would hang in the air.
        name = form.like(part.name)
        self.changes.append(Change(f"{path}.name", f"this provider takes no such name; it gets {name}"))
        return replace(part, name=name)

    def _opaque(self, part: OpaquePart, path: str, place: Place) -> OpaquePart | None:
        if part.provider_kind not in self._features.names:
            self._leave_out(path, "this block belongs to another kind of provider")
            return None
        if place not in self._features.opaque:
            self._leave_out(path, "this provider takes no such blocks here")
            return None
        return part

    def _result(self, part: ToolResultPart, path: str) -> ToolResultPart:
        content = self._kept(part.content, partial(self._part, place=Place.RESULT), f"{path}.content")
        part = part if content is part.content else replace(part, content=content)
        if not part.is_error or self._features.result_errors:
            return part
        # No reason to refuse: nearly always the text says so as well.
        why = "this provider cannot be told that a tool failed; the result has to say so"
        self.changes.append(Change(f"{path}.is_error", why, dropped=True))
        return replace(part, is_error=False)

    def _media(self, part: MediaPart, path: str, place: Place) -> MediaPart | None:
        part, path = with_bytes(part), f"{path}.{part.kind.name.lower()}"
        feature = self._features.media.get(part.kind)
        if place is Place.ANSWER and part.continuity_token and feature is not None and feature.answers_by_token:
            return part
        objection = media_objection(part, feature, place)
        if objection:
            self._leave_out(path, objection)
            return None
        if part.detail and feature is not None and place not in feature.detail:
            self._leave_out(f"{path}.detail", "this provider cannot be told how closely to look at it")
            return replace(part, detail=MediaDetail.UNSPECIFIED)
        return part

    def _tool(self, tool: FunctionTool | ProviderTool, path: str) -> FunctionTool | ProviderTool | None:
        features = self._features
        if isinstance(tool, ProviderTool):
            if tool.provider_kind in features.names:
                return tool
            self._leave_out(f"{path}.provider", "this tool belongs to another kind of provider")
            return None
        if not features.tools:
            self._leave_out(f"{path}.function", "this provider calls no functions")
            return None
        return self._function(tool, f"{path}.function")

    def _function(self, tool: FunctionTool, path: str) -> FunctionTool | None:
        features = self._features
        if not features.function_names.takes(tool.name):
            self._leave_out(f"{path}.name", "this provider takes no such name")
            return None
        if objection := features.function_schemas.objection(tool.parameters_json_schema):
            # Without its schema a model would call it at random.
            self._leave_out(f"{path}.parameters_json_schema", objection)
            return None
        if tool.strict is not None and not features.strict_tools:
            if tool.strict:
                self._leave_out(f"{path}.strict", "this provider cannot be held to a schema")
            return replace(tool, strict=None)
        return tool

    def _response_format(
        self, wanted: JsonObjectFormat | JsonSchemaFormat
    ) -> JsonObjectFormat | JsonSchemaFormat | None:
        if isinstance(wanted, JsonSchemaFormat):
            if self._features.json_schema:
                return self._named(wanted)
            self._leave_out("generation.response_format.json_schema", "this provider cannot be held to a schema")
            return JsonObjectFormat() if self._features.json_object else None
        if self._features.json_object:
            return wanted
        self._leave_out("generation.response_format.json_object", _NOT_HERE)
        return None

    def _named(self, wanted: JsonSchemaFormat) -> JsonSchemaFormat:
        form = self._features.schema_names
        if not wanted.name or form.takes(wanted.name):
            return wanted
        name = form.like(wanted.name)
        why = f"this provider takes no such name; it gets {name}"
        self.changes.append(Change("generation.response_format.json_schema.name", why))
        return replace(wanted, name=name)

    def _reasoning(self, config: ReasoningConfig) -> ReasoningConfig:
        features = self._features
        gone: dict[str, Any] = {}
        if config.effort is not ReasoningEffort.UNSPECIFIED and not features.reasoning_effort:
            gone["effort"] = ReasoningEffort.UNSPECIFIED
            self._leave_out("generation.reasoning.effort", _NOT_HERE)
        elif config.effort not in features.efforts:
            gone["effort"] = nearest = _nearest(config.effort, features.efforts)
            why = f"this model gets {nearest.name}, the nearest effort that it knows"
            self.changes.append(Change("generation.reasoning.effort", why))
        if config.budget_tokens is not None and not features.reasoning_budget:
            gone["budget_tokens"] = None
            why = "this provider takes no number of tokens for thinking"
            self._leave_out("generation.reasoning.budget_tokens", why)
        elif config.budget_tokens is not None and features.effort_or_budget:
            gone |= self._one_of_both(config.effort)
        if config.include and not features.reasoning_shown:
            gone["include"] = None
            self._leave_out("generation.reasoning.include", "this provider does not show the thinking")
        return replace(config, **gone) if gone else config

    def _one_of_both(self, effort: ReasoningEffort) -> dict[str, Any]:
        """What goes of an effort and a budget: no thinking at all is within any budget, else the number tells more."""
        if effort is ReasoningEffort.NONE:
            return {"budget_tokens": None}
        if effort is not ReasoningEffort.UNSPECIFIED:
            why = "this provider takes an effort or a number of tokens, not both"
            self.changes.append(Change("generation.reasoning.effort", why, dropped=True))
        return {"effort": ReasoningEffort.UNSPECIFIED}


def _is_within(value: float, ends: tuple[float, float]) -> bool:
    return ends[0] <= value <= ends[1]


def _is_called(tool: FunctionTool | ProviderTool, name: str) -> bool:
    return isinstance(tool, FunctionTool) and tool.name == name


def _nearest(wanted: ReasoningEffort, known: Iterable[ReasoningEffort]) -> ReasoningEffort:
    """The effort that comes nearest to another one; who wants some thinking does not get none."""
    some = [effort for effort in known if effort > ReasoningEffort.NONE]
    return min(some, key=lambda effort: (abs(effort - wanted), effort))
