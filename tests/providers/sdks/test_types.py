"""Every golden answer in one piece that says what a stream says is what the vendor's own SDK calls an answer."""

import json
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tests.providers.test_golden import GOLDEN

TYPES = {
    "anthropic": ("anthropic.types", "Message"),
    "cohere": ("cohere", "V2ChatResponse"),
    "gemini": ("google.genai.types", "GenerateContentResponse"),
    "mistral": ("mistralai.client.models", "ChatCompletionResponse"),
    "openai": ("openai.types.chat", "ChatCompletion"),
    "responses": ("openai.types.responses", "Response"),
}
ANSWERS = [path for path in sorted(GOLDEN.glob("*/whole_*.json")) if not path.name.endswith(".expected.json")]


@cache
def bedrock() -> Any:
    from botocore.session import Session  # noqa: PLC0415 - imports that other tests need not wait for

    return Session().get_service_model("bedrock-runtime").operation_model("Converse").output_shape


def unknown(value: Any, shape: Any) -> list[str]:
    """The fields of a value that botocore's model does not have."""
    if shape.type_name == "structure" and not getattr(shape, "is_document_type", False):
        known = shape.members
        inner = [each for name in value if name in known for each in unknown(value[name], known[name])]
        return [*(name for name in value if name not in known), *inner]
    if shape.type_name == "list":
        return [each for item in value for each in unknown(item, shape.member)]
    return []


@pytest.mark.parametrize("path", ANSWERS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_it_has_the_fields_that_the_sdk_knows(path: Path):
    kind = path.parent.name
    if kind == "bedrock":
        answer = json.loads(path.read_bytes())
        assert not unknown(answer, bedrock())
        assert answer.keys() >= set(bedrock().required_members)
        return
    module, name = TYPES[kind]
    getattr(import_module(module), name).model_validate_json(path.read_bytes())
