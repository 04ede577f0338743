"""An answer is written where it holds nobody up."""

import pytest

from llmproxy_grpc.aside import MANY
from llmproxy_grpc.messages import (
    Candidate,
    Citation,
    FinishReason,
    Message,
    Part,
    ProviderResponse,
    Role,
    TextDelta,
    TextPart,
    TokenLogprob,
)
from llmproxy_grpc.server import writing
from tests.fakes.routing import Bench
from tests.fakes.threads import ran_beside

HI = TextPart(text="Hi")
CITED = TextPart(text="Hi", citations=(Citation(uri="https://example.com"),) * (MANY + 1))
LIKELY = TokenLogprob("a", -0.5)


def answer(*parts: Part, candidates: int = 1, logprobs: tuple[TokenLogprob, ...] = ()) -> ProviderResponse:
    one = Candidate(0, Message(Role.ASSISTANT, parts), FinishReason.STOP, logprobs=logprobs)
    return ProviderResponse((one,) * candidates)


@pytest.mark.parametrize(
    ("said", "beside"),
    [
        (answer(HI), False),
        (answer(*[HI] * MANY), False),
        (answer(*[HI] * MANY, candidates=2), True),
        (answer(HI, logprobs=(LIKELY,) * MANY), True),
        (answer(HI, logprobs=(TokenLogprob("a", -0.5, top=(LIKELY,) * (MANY + 1)),)), True),
        (answer(CITED), True),
    ],
    ids=["one part", "some", "many of several candidates", "log probabilities", "alternatives", "sources"],
)
async def test_an_answer_of_many_pieces_is_written_beside_the_loop(monkeypatch, said, beside):
    ran = ran_beside(monkeypatch, writing, "from_response")
    written = await writing.write_answer(said, Bench("a").call())
    assert len(written.candidates) == len(said.candidates)
    assert ran == [beside]


@pytest.mark.parametrize(
    ("delta", "beside"),
    [
        (TextDelta(text="Hi"), False),
        (TextDelta(text="Hi", logprobs=(LIKELY,) * MANY), False),
        (TextDelta(text="Hi", logprobs=(LIKELY,) * (MANY + 1)), True),
        (TextDelta(text="Hi", logprobs=(TokenLogprob("a", -0.5, top=(LIKELY,) * MANY),)), True),
        (TextDelta(text="Hi", citations=CITED.citations), True),
    ],
    ids=["text", "some", "log probabilities", "alternatives", "sources"],
)
async def test_a_piece_of_a_stream_with_many_things_is_written_beside_the_loop(monkeypatch, delta, beside):
    ran = ran_beside(monkeypatch, writing, "delta_event")
    event = await writing.write_delta(7, delta)
    assert (event.sequence, event.delta.text, len(event.delta.logprobs)) == (7, "Hi", len(delta.logprobs))
    assert ran == [beside]
