"""Every golden exchange of the kind openai, through the provider and a real connection."""

import json
from pathlib import Path
from typing import Any

import pytest

from llmproxy_grpc.config.schema import ProviderConfig
from llmproxy_grpc.messages import (
    Part,
    ProviderResponse,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCallPart,
)
from llmproxy_grpc.providers.http import HttpClient
from llmproxy_grpc.providers.openai import OpenAiProvider
from tests.fakes.faulty_upstream import Answer, FaultyUpstream
from tests.providers.conversations import ask, assembled, collected

GOLDEN = Path(__file__).parent.parent / "golden" / "openai"
STREAMS = sorted(GOLDEN.glob("*.sse"))
ANSWERS = sorted(path for path in GOLDEN.glob("*.json") if not path.name.endswith(".expected.json"))


def described(response: ProviderResponse) -> dict[str, Any]:
    """A response in the words of the files."""
    usage = response.usage
    return {
        "candidates": [
            {
                "index": candidate.index,
                "parts": [_described(part) for part in candidate.message.parts],
                "finish_reason": candidate.finish_reason.name,
                "raw_finish_reason": candidate.raw_finish_reason,
            }
            for candidate in response.candidates
        ],
        "usage": usage
        and {
            "input": usage.input_tokens,
            "output": usage.output_tokens,
            "total": usage.total_tokens,
            "cached": usage.cached_input_tokens,
            "cache_write": usage.cache_write_input_tokens,
            "reasoning": usage.reasoning_tokens,
        },
    }


def _described(part: Part) -> dict[str, Any]:
    if isinstance(part, ToolCallPart):
        return {"tool_call": [part.id, part.name, part.arguments_json]}
    names = {TextPart: "text", ReasoningPart: "reasoning", RefusalPart: "refusal"}
    return {names[type(part)]: part.text}


def expected(path: Path) -> dict[str, Any]:
    return json.loads(path.with_suffix(".expected.json").read_text())


async def answered(answer: Answer, *, stream: bool) -> ProviderResponse:
    async with FaultyUpstream() as upstream:
        upstream.script(answer)
        http = HttpClient(connect_timeout=1)
        provider = OpenAiProvider.from_config(
            ProviderConfig(name="golden", kind="openai", base_url=f"{upstream.url}/v1"), http
        )
        try:
            if stream:
                return assembled(await collected(provider.stream(ask(), "golden-model")))
            return await provider.chat(ask(), "golden-model")
        finally:
            await http.aclose()


@pytest.mark.parametrize("chop", [0, 1, 7])
@pytest.mark.parametrize("path", STREAMS, ids=lambda path: path.stem)
async def test_a_stream_means_what_its_file_says_however_it_is_chopped(path, chop):
    response = await answered(Answer.stream([path.read_bytes()], chop=chop), stream=True)
    assert described(response) == expected(path)


@pytest.mark.parametrize("path", ANSWERS, ids=lambda path: path.stem)
async def test_an_answer_means_what_its_file_says(path):
    response = await answered(Answer.json(path.read_bytes()), stream=False)
    assert described(response) == expected(path)


@pytest.mark.parametrize("path", ANSWERS, ids=lambda path: path.stem)
async def test_an_answer_in_one_piece_is_taken_for_a_stream_too(path):
    response = await answered(Answer.json(path.read_bytes()), stream=True)
    assert described(response) == expected(path)
