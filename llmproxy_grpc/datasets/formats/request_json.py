"""A request in the JSON of the API's ChatRequest."""

from typing import Any

from msgspec.structs import asdict

from llmproxy_grpc.datasets.formats.api_json import Fields, duration_json, enum_json, filled, given, message_json
from llmproxy_grpc.messages import (
    ChatRequest,
    FunctionTool,
    GenerationConfig,
    JsonObjectFormat,
    JsonSchemaFormat,
    ProviderTool,
    RoutingPolicy,
    ToolChoice,
)

_MICROS = 1_000_000
_DATA_POLICIES = ("", "DATA_POLICY_METADATA_ONLY", "DATA_POLICY_NO_TRAINING", "DATA_POLICY_FULL")
"""By the API's numbers."""


def request_json(request: ChatRequest) -> Fields:
    """A request."""
    return filled(
        model=request.model,
        messages=[message_json(message) for message in request.messages],
        tools=[_tool(tool) for tool in request.tools],
        tool_choice=None if request.tool_choice is None else _tool_choice(request.tool_choice),
        generation=_generation(request.generation),
        end_user_id=request.end_user_id,
        labels=request.labels,
        routing=_routing(request.routing),
        data=_DATA_POLICIES[request.data],
        provider_options=request.provider_options,
        conversation_id=request.conversation_id,
    )


def _tool(tool: FunctionTool | ProviderTool) -> Fields:
    if isinstance(tool, ProviderTool):
        return {"provider": asdict(tool)}
    return {
        "function": filled(
            name=tool.name, description=tool.description, parameters_json_schema=tool.parameters_json_schema
        )
        | given(strict=tool.strict)
    }


def _tool_choice(choice: ToolChoice) -> Fields:
    chosen = filled(mode=enum_json("TOOL_MODE", choice.mode), function_name=choice.function_name)
    return chosen | given(parallel_tool_calls=choice.parallel_tool_calls)


def _generation(config: GenerationConfig) -> Fields:
    fields: dict[str, Any] = {name: getattr(config, name) for name in config.__struct_fields__}
    reasoning = config.reasoning
    if reasoning is not None:
        effort = filled(effort=enum_json("REASONING_EFFORT", reasoning.effort))
        fields["reasoning"] = effort | given(budget_tokens=reasoning.budget_tokens, include=reasoning.include)
    fields["response_format"] = _response_format(config.response_format)
    if config.logit_bias is not None:
        fields["logit_bias"] = {str(token): bias for token, bias in config.logit_bias.items()}
    fields["output_modalities"] = tuple(enum_json("MODALITY", each) for each in config.output_modalities)
    return given(**fields)


def _response_format(form: JsonObjectFormat | JsonSchemaFormat | None) -> Fields | None:
    match form:
        case JsonObjectFormat():
            return {"json_object": {}}
        case JsonSchemaFormat():
            return {"json_schema": filled(name=form.name, schema_json=form.schema_json) | given(strict=form.strict)}
        case _:
            return None


def _routing(policy: RoutingPolicy) -> Fields:
    return filled(
        providers=policy.providers,
        fallback_models=policy.fallback_models,
        first_token_timeout=_seconds(policy.first_token_timeout),
        idle_timeout=_seconds(policy.idle_timeout),
        unsupported_params="UNSUPPORTED_PARAMS_DROP" if policy.drop_unsupported else "",
    ) | given(max_attempts=policy.max_attempts)


def _seconds(seconds: float | None) -> str:
    return "" if seconds is None else duration_json(round(seconds * _MICROS))
