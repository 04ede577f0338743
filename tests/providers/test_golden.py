"""Every golden exchange of every kind, through the provider and a real connection."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from llmproxy_grpc.messages import (
    Candidate,
    GenerationConfig,
    MediaPart,
    OpaquePart,
    Part,
    ProviderResponse,
    ReasoningConfig,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCallPart,
    Usage,
)
from llmproxy_grpc.providers.http import HttpClient
from tests.fakes.faulty_upstream import Answer, FaultyUpstream
from tests.providers.conversations import ask, assembled, collected
from tests.providers.http_kind import HttpKind
from tests.providers.kinds import HTTP_KINDS

MADE = re.compile(r"call_(?:[a-z]+_)?[0-9a-f]{24}")
"""Ids of calls that have none of their provider."""

GOLDEN = Path(__file__).parent.parent / "golden"


def _exchanges(suffix: str | None) -> list[Any]:
    """Every file of a kind's folder with this suffix (None: that of its streams)."""
    return [
        pytest.param(kind, path, id=f"{kind.name}-{path.stem}")
        for kind in HTTP_KINDS
        for path in sorted((GOLDEN / kind.name).glob(f"*{suffix or kind.stream_suffix}"))
        if not path.name.endswith(".expected.json")
    ]


def _pairs() -> list[Any]:
    """Every answer in one piece that has its like among the streams: NAME, and whole_NAME."""
    return [
        pytest.param(kind, stream, whole, id=f"{kind.name}-{stream.stem}")
        for kind in HTTP_KINDS
        for stream in sorted((GOLDEN / kind.name).glob(f"*{kind.stream_suffix}"))
        if (whole := stream.with_name(f"whole_{stream.stem}.json")).exists()
    ]


def described(response: ProviderResponse) -> dict[str, Any]:
    """A response in the words of the files; what is empty is left out."""
    described: dict[str, Any] = {"candidates": [_candidate(candidate) for candidate in response.candidates]}
    described["usage"] = response.usage and _usage(response.usage)
    return described


def _candidate(candidate: Candidate) -> dict[str, Any]:
    described = {
        "index": candidate.index,
        "parts": [_part(part) for part in candidate.message.parts],
        "finish_reason": candidate.finish_reason.name,
        "raw_finish_reason": candidate.raw_finish_reason,
    }
    if candidate.matched_stop_sequence:
        described["matched_stop_sequence"] = candidate.matched_stop_sequence
    if candidate.logprobs:
        described["logprobs"] = [[each.token, each.logprob] for each in candidate.logprobs]
    return described


def _part(part: Part) -> dict[str, Any]:
    match part:
        case ToolCallPart():
            call_id = "made by us" if MADE.fullmatch(part.id) else part.id
            described: dict[str, Any] = {"tool_call": [call_id, part.name, part.arguments_json]}
        case TextPart():
            described = {"text": part.text}
        case RefusalPart():
            described = {"refusal": part.text}
        case ReasoningPart():
            flags = {name: True for name in ("redacted", "summary") if getattr(part, name)}
            described = {"reasoning": part.text, **flags}
        case MediaPart():
            described = {"media": [part.kind.name, part.media_type, len(part.data or b"")]}
        case OpaquePart():
            described = {"opaque": [part.provider_kind, part.type, part.value]}
        case _:
            raise AssertionError(part)
    if part.continuity_token:
        described["token"] = part.continuity_token.decode("utf-8", "backslashreplace")
    if part.citations:
        described["citations"] = [
            [each.uri, each.title, each.start_offset, each.end_offset, each.quoted_text] for each in part.citations
        ]
    return described


def _usage(usage: Usage) -> dict[str, int]:
    return {
        "input": usage.input_tokens,
        "output": usage.output_tokens,
        "total": usage.total_tokens,
        "cached": usage.cached_input_tokens,
        "cache_write": usage.cache_write_input_tokens,
        "reasoning": usage.reasoning_tokens,
    }


def expected(path: Path) -> dict[str, Any]:
    return json.loads(path.with_suffix(".expected.json").read_text())


async def answered(kind: HttpKind, answer: Answer, *, stream: bool, shown: bool = True) -> ProviderResponse:
    request = ask(generation=GenerationConfig(reasoning=ReasoningConfig(include=shown)))
    async with FaultyUpstream() as upstream:
        upstream.script(answer)
        http = HttpClient(connect_timeout=1)
        provider = await kind.provider(upstream, http)
        try:
            if stream:
                return assembled(await collected(provider.stream(request, "golden-model")))
            return await provider.chat(request, "golden-model")
        finally:
            await http.aclose()


@pytest.mark.parametrize("chop", [0, 1, 7])
@pytest.mark.parametrize(("kind", "path"), _exchanges(None))
async def test_a_stream_means_what_its_file_says_however_it_is_chopped(kind, path, chop):
    response = await answered(kind, kind.streaming([path.read_bytes()], chop=chop), stream=True)
    assert described(response) == expected(path)


@pytest.mark.parametrize(("kind", "path"), _exchanges(".json"))
async def test_an_answer_means_what_its_file_says(kind, path):
    response = await answered(kind, Answer.json(path.read_bytes()), stream=False)
    assert described(response) == expected(path)


@pytest.mark.parametrize(("kind", "path"), _exchanges(".json"))
async def test_an_answer_in_one_piece_is_taken_for_a_stream_too(kind, path):
    response = await answered(kind, Answer.json(path.read_bytes()), stream=True)
    assert described(response) == expected(path)


@pytest.mark.parametrize("shown", [True, False], ids=["shown", "hidden"])
@pytest.mark.parametrize(("kind", "stream", "whole"), _pairs())
async def test_a_stream_and_an_answer_in_one_piece_say_the_same(kind, stream, whole, shown):
    streamed = await answered(kind, kind.streaming([stream.read_bytes()]), stream=True, shown=shown)
    at_once = await answered(kind, Answer.json(whole.read_bytes()), stream=False, shown=shown)
    assert described(streamed) == described(at_once)
    assert streamed.provider_metadata == at_once.provider_metadata


@pytest.mark.parametrize("kind", HTTP_KINDS, ids=lambda kind: kind.name)
def test_every_kind_has_golden_exchanges_both_ways(kind):
    assert list((GOLDEN / kind.name).glob(f"*{kind.stream_suffix}"))
    assert [path for path in (GOLDEN / kind.name).glob("*.json") if not path.name.endswith(".expected.json")]
