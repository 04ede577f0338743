from dataclasses import replace

from tests.providers.kinds.openai import KIND as OPENAI

KIND = replace(OPENAI, name="mistral", kind="mistral", base_path="", config={"api_key": "test-key"})
