"""An answer holds only so much, and the error says of what there was too much."""

import pytest

from llmproxy_grpc.errors import UpstreamProtocolError
from llmproxy_grpc.messages import (
    Candidate,
    Citation,
    FinishReason,
    Message,
    Part,
    PartDelta,
    ProviderResponse,
    ReasoningDelta,
    Role,
    TextDelta,
    TextPart,
    TokenLogprob,
    ToolCallPart,
)
from llmproxy_grpc.providers.batch import Batch
from llmproxy_grpc.providers.candidate import CandidateWriter
from llmproxy_grpc.providers.extent import (
    MOST_CANDIDATES,
    MOST_CITATIONS,
    MOST_COMMAS,
    MOST_CONTAINERS,
    MOST_LOGPROBS,
    MOST_PARTS,
    MOST_TOOL_CALLS,
    check_answer,
    check_document,
    is_long,
)

HI = TextPart(text="Hi")
CALL = ToolCallPart(id="1", name="f", arguments_json="{}")
SOURCE = Citation(uri="https://example.com")
LIKELY = TokenLogprob("a", -0.5)
WITH_ONE = TokenLogprob("a", -0.5, top=(LIKELY,))


def answer(*parts: Part, logprobs: tuple[TokenLogprob, ...] = (), candidates: int = 1) -> ProviderResponse:
    one = Candidate(0, Message(Role.ASSISTANT, parts), FinishReason.STOP, logprobs=logprobs)
    return ProviderResponse((one,) * candidates)


@pytest.mark.parametrize(
    ("fits", "too_much", "named"),
    [
        (answer(HI, candidates=MOST_CANDIDATES), answer(HI, candidates=MOST_CANDIDATES + 1), "128 candidates"),
        (answer(*[HI] * MOST_PARTS), answer(*[HI] * (MOST_PARTS // 2 + 1), candidates=2), "16,384 parts"),
        (answer(*[CALL] * MOST_TOOL_CALLS, HI), answer(*[CALL] * 342, HI, candidates=3), "1,024 tool calls"),
        (
            answer(TextPart(text="", citations=(SOURCE,) * MOST_CITATIONS)),
            answer(TextPart(text="", citations=(SOURCE,) * (MOST_CITATIONS // 2 + 1)), HI, candidates=2),
            "16,384 citations",
        ),
        (
            answer(HI, logprobs=(WITH_ONE,) * (MOST_LOGPROBS // 2)),
            answer(HI, logprobs=(WITH_ONE,) * (MOST_LOGPROBS // 2 + 1)),
            "262,144 log probabilities",
        ),
    ],
    ids=["candidates", "parts", "tool calls", "citations", "log probabilities"],
)
def test_an_answer_that_holds_too_much_in_all_of_its_candidates_is_none(fits, too_much, named):
    check_answer(fits)
    with pytest.raises(UpstreamProtocolError, match=f"more than {named}"):
        check_answer(too_much)


def test_a_stream_has_so_many_candidates():
    batch = Batch()
    for index in range(MOST_CANDIDATES):
        CandidateWriter(index, batch)
    with pytest.raises(UpstreamProtocolError, match="candidates"):
        CandidateWriter(MOST_CANDIDATES, batch)


def test_a_stream_has_so_many_parts_in_all_of_its_candidates():
    batch = Batch()
    writers = [CandidateWriter(index, batch) for index in range(2)]
    for number in range(MOST_PARTS):
        writers[number % 2].say(TextDelta if number % 4 < 2 else ReasoningDelta, "x")
        batch.take()
    writers[0].say(TextDelta if MOST_PARTS % 4 >= 2 else ReasoningDelta, "more of an open part")
    with pytest.raises(UpstreamProtocolError, match="parts"):
        writers[0].enter(TextDelta)


def test_a_stream_has_so_many_tool_calls():
    writer = CandidateWriter(0, Batch())
    for number in range(MOST_TOOL_CALLS):
        writer.open_call(f"call_{number}", "f")
    with pytest.raises(UpstreamProtocolError, match="tool calls"):
        writer.open_call("one too many", "f")


@pytest.mark.parametrize("where", ["annotate", "cite", "add_part"])
def test_a_stream_has_so_many_sources_wherever_they_come(where):
    writer = CandidateWriter(0, Batch())
    writer.annotate(citations=(SOURCE,) * MOST_CITATIONS)
    with pytest.raises(UpstreamProtocolError, match="citations"):
        if where == "annotate":
            writer.annotate(citations=(SOURCE,))
        elif where == "cite":
            writer.cite(0, (SOURCE,))
        else:
            writer.add_part(TextPart(text="", citations=(SOURCE,)))


def test_a_part_of_a_stream_may_have_all_the_sources_that_there_may_be():
    batch = Batch()
    CandidateWriter(0, batch).add_part(TextPart(text="", citations=(SOURCE,) * MOST_CITATIONS))
    (event,) = batch.take()
    assert isinstance(event, PartDelta)


def test_alternatives_count_among_the_log_probabilities_of_a_stream():
    writer = CandidateWriter(0, Batch())
    writer.annotate(logprobs=(WITH_ONE,) * (MOST_LOGPROBS // 2))
    with pytest.raises(UpstreamProtocolError, match="log probabilities"):
        writer.annotate(logprobs=(LIKELY,))


@pytest.mark.parametrize(
    ("piece", "most", "named"), [(b"{", MOST_CONTAINERS, "objects and lists"), (b",", MOST_COMMAS, "values")]
)
def test_json_of_too_many_values_is_refused_before_it_is_read(piece, most, named):
    check_document(piece * most)
    with pytest.raises(UpstreamProtocolError, match=named):
        check_document(piece * (most + 1))


def test_what_is_long_or_has_many_objects_is_read_aside():
    assert is_long(b"x" * 300_000)
    assert is_long(b"{}," * 10_000)
    assert not is_long(b"x" * 200_000)
    assert not is_long(b"{}," * 1_000)
