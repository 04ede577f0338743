"""The rules of sampling and output settings."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from llmproxy_grpc._gen.v1 import generation_pb2 as pb
from llmproxy_grpc.server.validation import bounds
from llmproxy_grpc.server.validation.findings import Findings
from llmproxy_grpc.server.validation.rules import check_json_object, check_name, check_number

_MODALITIES = frozenset(pb.Modality.values()) - {pb.MODALITY_UNSPECIFIED}


def check_generation(found: Findings, config: pb.GenerationConfig) -> None:
    """Checks the settings that are set."""
    for field, value in config.ListFields():
        name = field.name
        allowed = bounds.NUMBERS.get(name)
        if allowed is not None:
            check_number(found, f"generation.{name}", value, allowed)
        elif name in _CHECKS:
            _CHECKS[name](found, f"generation.{name}", value)


def _check_stop_sequences(found: Findings, field: str, sequences: Sequence[str]) -> None:
    if len(sequences) > bounds.MAX_STOP_SEQUENCES:
        found.add(field, f"must be at most {bounds.MAX_STOP_SEQUENCES}")
        return
    for index, sequence in enumerate(sequences):
        if not 1 <= len(sequence) <= bounds.MAX_STOP_SEQUENCE:
            found.add(f"{field}[{index}]", f"must be 1 to {bounds.MAX_STOP_SEQUENCE} characters long")


def _check_reasoning(found: Findings, field: str, reasoning: pb.ReasoningConfig) -> None:
    if reasoning.HasField("budget_tokens") and reasoning.budget_tokens < 0:
        found.add(f"{field}.budget_tokens", "must not be negative")


def _check_response_format(found: Findings, field: str, form: pb.ResponseFormat) -> None:
    if form.WhichOneof("format") != "json_schema":
        return
    schema = form.json_schema
    if schema.name:
        check_name(found, f"{field}.json_schema.name", schema.name)
    if schema.schema_json:
        check_json_object(found, f"{field}.json_schema.schema_json", schema.schema_json)
    else:
        found.add(f"{field}.json_schema.schema_json", "is required")


def _check_logit_bias(found: Findings, field: str, biases: Mapping[int, float]) -> None:
    if len(biases) > bounds.MAX_LOGIT_BIASES:
        found.add(field, f"must be at most {bounds.MAX_LOGIT_BIASES}")
        return
    for token, bias in biases.items():
        if token < 0:
            found.add(f"{field}[{token}]", "must not be negative")
        check_number(found, f"{field}[{token}]", bias, bounds.LOGIT_BIAS)


def _check_modalities(found: Findings, field: str, modalities: Sequence[int]) -> None:
    if len(modalities) > bounds.MAX_MODALITIES:
        found.add(field, f"must be at most {bounds.MAX_MODALITIES}")
        return
    for index, modality in enumerate(modalities):
        if modality not in _MODALITIES:
            found.add(f"{field}[{index}]", "must be a kind of content that this version knows")


_CHECKS: Mapping[str, Callable[[Findings, str, Any], None]] = {
    "stop_sequences": _check_stop_sequences,
    "reasoning": _check_reasoning,
    "response_format": _check_response_format,
    "logit_bias": _check_logit_bias,
    "output_modalities": _check_modalities,
}
