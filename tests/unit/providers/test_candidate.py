"""Where log probabilities stand: beside what they are of, and never as a reason for a part that nobody wrote."""

import pytest

from llmproxy_grpc.errors import UpstreamProtocolError
from llmproxy_grpc.messages import (
    FinishReason,
    PartDelta,
    ReasoningDelta,
    TextDelta,
    TokenLogprob,
    ToolCallDelta,
)
from llmproxy_grpc.providers.batch import Batch
from llmproxy_grpc.providers.candidate import CandidateWriter
from llmproxy_grpc.providers.extent import MOST_LOGPROBS
from tests.unit.providers.test_extent import HI

LIKELY = (TokenLogprob("a", -0.5),)


@pytest.fixture
def batch() -> Batch:
    return Batch()


@pytest.fixture
def writer(batch: Batch) -> CandidateWriter:
    return CandidateWriter(0, batch)


@pytest.mark.parametrize(
    ("write", "bearer"),
    [
        (lambda writer: writer.say(TextDelta, "b"), TextDelta(text="b", logprobs=LIKELY * 2)),
        (lambda writer: writer.summarize("s"), ReasoningDelta(text="s", summary=True, logprobs=LIKELY * 2)),
        (lambda writer: writer.open_call("1", "f"), ToolCallDelta(id="1", name="f", logprobs=LIKELY * 2)),
        (lambda writer: writer.add_part(HI), PartDelta(part=HI, logprobs=LIKELY * 2)),
        (
            lambda writer: writer.redact(b"t"),
            ReasoningDelta(text="", redacted=True, continuity_token=b"t", logprobs=LIKELY * 2),
        ),
    ],
)
def test_those_of_what_is_not_shown_stand_beside_the_next_part_once(batch, writer, write, bearer):
    writer.annotate(logprobs=LIKELY)
    writer.annotate(logprobs=LIKELY)
    assert batch.take() == []
    write(writer)
    assert batch.take() == [bearer]
    write(writer)
    assert not any(event.logprobs for event in batch.take())


def test_those_that_come_late_belong_to_the_text_before_them(batch, writer):
    writer.sign(TextDelta, b"t")
    writer.leave()
    writer.annotate(logprobs=LIKELY)
    writer.open_call("1", "f")
    writer.annotate(logprobs=LIKELY)
    writer.finish(FinishReason.STOP, "")
    *_, of_text, of_call, _ = batch.take()
    assert of_text == TextDelta(text="", logprobs=LIKELY)
    assert of_call == ToolCallDelta(part_index=1, id="1", name="f", logprobs=LIKELY)


def test_those_that_wait_are_counted(writer):
    writer.annotate(logprobs=LIKELY * MOST_LOGPROBS)
    with pytest.raises(UpstreamProtocolError, match="log probabilities"):
        writer.annotate(logprobs=LIKELY)
