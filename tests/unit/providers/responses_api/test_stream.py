"""How a response ends, and what is none."""

import json

import pytest

from llmproxy_grpc.errors import UpstreamProtocolError, UpstreamRateLimited, UpstreamServerError, UpstreamStreamBroken
from llmproxy_grpc.messages import FinishReason, TextPart, ToolCallPart, Usage, UsageSoFar
from llmproxy_grpc.providers.responses_api.stream import EventDecoder, read_answer
from llmproxy_grpc.providers.sse import ServerSentEvent
from tests.unit.providers.responses_api.events import (
    CALL,
    COMPLETED,
    added,
    answer,
    ended,
    event,
    message,
    parts,
    reply,
    text,
    whole,
)


def test_an_end_that_tells_everything_is_enough():
    output = [message("x"), {**CALL, "arguments": "{}"}]
    response = answer(ended(output=output)).candidates[0]
    assert response.message.parts == whole(*output)
    assert response.finish_reason is FinishReason.TOOL_CALLS


def test_what_was_begun_and_never_ended_is_taken_from_the_end():
    output = [message("x"), {**CALL, "arguments": "{}"}]
    assert answer(added(message()), text("x"), added(CALL), ended(output=output)).candidates[0].message.parts == (
        TextPart(text="x"),
        ToolCallPart(id="call_1", name="f", arguments_json="{}"),
    )


@pytest.mark.parametrize(
    ("kind", "fields", "reason", "raw"),
    [
        ("completed", {}, FinishReason.STOP, "completed"),
        ("completed", {"status": "in_progress"}, FinishReason.STOP, "completed"),
        (
            "incomplete",
            {"incomplete_details": {"reason": "max_output_tokens"}},
            FinishReason.MAX_TOKENS,
            "max_output_tokens",
        ),
        (
            "incomplete",
            {"incomplete_details": {"reason": "content_filter"}},
            FinishReason.CONTENT_FILTER,
            "content_filter",
        ),
        ("incomplete", {"incomplete_details": {"reason": "steered"}}, FinishReason.OTHER, "steered"),
        ("incomplete", {"incomplete_details": None}, FinishReason.OTHER, "incomplete"),
    ],
)
def test_why_a_response_ended(kind, fields, reason, raw):
    candidate = answer(text("x"), ended(kind, **fields)).candidates[0]
    assert (candidate.finish_reason, candidate.raw_finish_reason) == (reason, raw)


def test_an_answer_as_long_as_the_limit_was_cut_where_servers_do_not_say_so():
    for limit, reason in ((4, FinishReason.MAX_TOKENS), (5, FinishReason.STOP), (None, FinishReason.STOP)):
        assert answer(text("x"), ended(), limit=limit).candidates[0].finish_reason is reason
    assert answer(text("x"), ended(usage=None), limit=1).candidates[0].finish_reason is FinishReason.STOP


def test_a_response_without_a_status_ended_for_a_reason_of_its_own():
    body = json.dumps({"output": [message("x")]}).encode()
    assert read_answer(body, reply()).candidates[0].finish_reason is FinishReason.OTHER


@pytest.mark.parametrize("status", ["queued", "in_progress"])
def test_a_response_that_is_still_to_come_is_no_answer(status):
    with pytest.raises(UpstreamProtocolError):
        whole(status=status)


def test_what_a_gateway_answers_in_place_of_a_response_is_its_error():
    with pytest.raises(UpstreamServerError):
        read_answer(b'{"detail":"oops"}', reply())


def test_a_done_before_the_end_ends_nothing():
    finished = ServerSentEvent("", b"[DONE]")
    assert parts(text("a"), finished) == (TextPart(text="a"),)
    decoder = EventDecoder(reply())
    decoder.feed([text("a"), finished])
    with pytest.raises(UpstreamStreamBroken):
        decoder.end()


def test_what_a_failed_response_used_is_told_before_its_error():
    decoder = EventDecoder(reply())
    failed = ended("failed", error={"code": "rate_limit_exceeded", "message": "try again in 2s"})
    with pytest.raises(UpstreamRateLimited) as caught:
        decoder.feed([text("a"), failed])
    assert caught.value.retry_after == 2
    assert any(isinstance(each, UsageSoFar) for each in decoder.take())


def test_what_a_failed_response_in_one_piece_used_is_told_with_its_error():
    failed = {**COMPLETED, "status": "failed", "output": [], "error": {"code": "server_error", "message": "oops"}}
    with pytest.raises(UpstreamServerError) as caught:
        read_answer(json.dumps(failed).encode(), reply())
    assert isinstance(caught.value.usage, Usage)


@pytest.mark.parametrize(
    "frame",
    [
        event("error", code="rate_limit_exceeded", message="slow"),
        event("error", error={"code": "rate_limit_exceeded", "message": "slow"}),
        ServerSentEvent("error", b'{"error":{"code":429,"message":"slow"}}'),
        ServerSentEvent("", b'{"error":{"code":429,"message":"slow"}}'),
    ],
)
def test_an_error_event_is_its_error_in_any_shape(frame):
    with pytest.raises(UpstreamRateLimited):
        EventDecoder(reply()).feed([frame])


def test_an_error_without_words_is_the_servers():
    for frame in (event("error"), ended("failed"), ended("cancelled")):
        with pytest.raises(UpstreamServerError):
            EventDecoder(reply()).feed([frame])


def test_a_stored_response_can_be_continued_from():
    assert answer(text("a"), ended(store=True, model="other", service_tier="flex")).provider_metadata == {
        "model": "other",
        "service_tier": "flex",
        "response_id": "resp_1",
    }
    assert answer(text("a"), ended(store=False)).provider_metadata == {}
