"""A stream may be endless; what is kept of it for its record and its final response may not."""

import pytest

from llmproxy_grpc.errors import UpstreamStreamBroken
from llmproxy_grpc.messages import CandidateFinish, FinishReason, TextDelta, UpstreamEnd, UpstreamStart, Usage
from llmproxy_grpc.records.record import DataPolicy
from llmproxy_grpc.server import stream_writer
from tests.fakes.kept import Kept
from tests.fakes.requests import stream_request

WORDS = "some words " * 10
MANY = [[TextDelta(text=WORDS)]] * 50
END = [CandidateFinish(0, FinishReason.STOP, "stop"), UpstreamEnd(Usage(1, 2, 3))]


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr(stream_writer, "MOST_KEPT", 2_000)


@pytest.fixture
def kept(tmp_path):
    return Kept(tmp_path / "records")


@pytest.fixture
def tapes(monkeypatch):
    """Every tape that is made."""
    made = []
    original = stream_writer.StreamWriter.__init__

    def init(self, *given, **named):
        original(self, *given, **named)
        made.append(self._tape)

    monkeypatch.setattr(stream_writer.StreamWriter, "__init__", init)
    return made


def keeping(kept):
    return {"records": {"enabled": True, "directory": str(kept.places.folder)}}


async def heard(server, **options):
    return [event async for event in server.stub.Stream(stream_request(**options))]


def said(events) -> str:
    return "".join(event.delta.text for event in events)


async def test_of_a_stream_that_is_too_long_the_record_has_figures_alone(serve, kept, tapes):
    async with serve(keeping(kept)) as server:
        server.scripted.streams.append([[UpstreamStart("u")], *MANY, END])
        events = await heard(server)
        [record] = await kept.wait(1)
    assert said(events) == WORDS * 50
    assert kept.body(record) is None
    assert (record.data_policy, record.training_ok) == (DataPolicy.METADATA_ONLY, False)
    assert (record.complete, record.finish_reasons, record.total_tokens) == (True, 1 << 1, 3)
    (tape,) = tapes
    assert sum(map(len, tape.events)) < 1_000


async def test_so_has_the_record_of_one_that_breaks_off(serve, kept):
    async with serve(keeping(kept)) as server:
        server.scripted.streams.append([[UpstreamStart("u")], *MANY, UpstreamStreamBroken("Broken.")])
        with pytest.raises(Exception, match="Broken"):
            await heard(server)
        [record] = await kept.wait(1)
    assert kept.body(record) is None
    assert (record.data_policy, record.complete) == (DataPolicy.METADATA_ONLY, False)


async def test_a_stream_that_is_short_enough_keeps_its_words(serve, kept):
    async with serve(keeping(kept)) as server:
        server.scripted.streams.append([[UpstreamStart("u")], *MANY[:5], END])
        await heard(server)
        [record] = await kept.wait(1)
    assert kept.response(record).candidates[0].message.parts[0].text == WORDS * 5


async def test_the_final_response_of_a_stream_that_is_too_long_is_left_out_with_a_warning(serve):
    async with serve() as server:
        server.scripted.streams.append([[UpstreamStart("u")], *MANY, END])
        events = await heard(server, include_final_response=True)
    end = events[-1].end
    assert said(events) == WORDS * 50
    assert not end.HasField("final_response")
    assert [(each.code, each.field) for each in end.warnings] == [
        ("PARAMETER_DROPPED", "options.include_final_response")
    ]
