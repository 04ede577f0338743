"""Two proxies in a row, and what the far one says."""

from contextlib import asynccontextmanager

from llmproxy_grpc.messages import (
    Candidate,
    CandidateFinish,
    FinishReason,
    Message,
    ProviderResponse,
    ReasoningDelta,
    ReasoningPart,
    Role,
    TextDelta,
    TextPart,
    TokenLogprob,
    ToolCallDelta,
    ToolCallPart,
    UpstreamEnd,
    UpstreamStart,
    Usage,
)
from tests.rpc.conftest import USUAL

USED = Usage(30, 20, 50, cached_input_tokens=10, reasoning_tokens=5)
THINKING = ReasoningPart(text="Let me look.", continuity_token=b"\x00signature\xff")
CALL = ToolCallPart(id="c1", name="look", arguments_json='{"a": 9007199254740993}', continuity_token=b"thought")
TEXT = TextPart(text="Grüße, 世界")


def routes(address, scheme="http", grpc=None, **fields):
    far = {"name": "far", "kind": "grpc", "base_url": f"{scheme}://{address}", **fields}
    return {
        "providers": [far],
        "models": [{"id": "assistant", "targets": [{"provider": "far", "model": "assistant"}]}],
        "grpc": grpc or USUAL["grpc"],
    }


@asynccontextmanager
async def chain(serve, *, config=None, **fields):
    """Two servers, of which the near one asks the far one."""
    async with serve(config) as far, serve(routes(far.address, **fields)) as near:
        yield near, far


def spoken() -> ProviderResponse:
    """An answer with thinking, text and a call."""
    logprobs = (TokenLogprob("Gr", -0.5, b"Gr", (TokenLogprob("Gr", -0.5),)),)
    message = Message(Role.ASSISTANT, (THINKING, TEXT, CALL))
    candidate = Candidate(0, message, FinishReason.TOOL_CALLS, "tool_use", "", logprobs)
    return ProviderResponse((candidate,), USED, "upstream-1", {"tier": "fast"})


def streamed() -> list:
    return [
        [UpstreamStart("upstream-1")],
        [ReasoningDelta(text="Let me "), ReasoningDelta(text="look.", continuity_token=b"\x00signature\xff")],
        [TextDelta(part_index=1, text="Grüße, "), TextDelta(part_index=1, text="世界")],
        [ToolCallDelta(part_index=2, id="c1", name="look", arguments_json='{"a": 90071')],
        [ToolCallDelta(part_index=2, arguments_json="99254740993}", continuity_token=b"thought")],
        [CandidateFinish(0, FinishReason.TOOL_CALLS, "tool_use"), UpstreamEnd(USED, {"tier": "fast"})],
    ]


async def finally_of(call):
    """The whole answer of a stream that asked for it."""
    events = [event async for event in call]
    assert [event.sequence for event in events] == list(range(len(events)))
    return events[-1].end.final_response, events
