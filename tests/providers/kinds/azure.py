from dataclasses import replace

from tests.providers.kinds.openai import KIND as OPENAI

KIND = replace(
    OPENAI,
    name="azure",
    kind="azure",
    base_path="",
    config={"api_key": "test-key", "api_version": "2024-10-21", "deployment": "test-model"},
)
