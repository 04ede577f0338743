import pytest

from llmproxy_grpc.errors import (
    ContextLengthExceeded,
    ProxyError,
    UpstreamOverloaded,
    UpstreamProtocolError,
    UpstreamRateLimited,
    UpstreamServerError,
    UpstreamStreamBroken,
)
from llmproxy_grpc.messages import TextDelta, UpstreamEnd
from llmproxy_grpc.providers.sse import ServerSentEvent
from tests.unit.providers.chat_completions.chunks import decoder, delta, event, run


@pytest.mark.parametrize(
    ("chunk", "kind"),
    [
        ({"error": {"message": "slow down", "code": "rate_limit_exceeded"}}, UpstreamRateLimited),
        (
            {"error": {"message": "slow down", "code": 429}, "choices": [{"index": 0, "finish_reason": "error"}]},
            UpstreamRateLimited,
        ),
        ({"error": {"message": "too long", "code": "context_length_exceeded"}}, ContextLengthExceeded),
        ({"error": {"message": "oops", "type": "server_error"}}, UpstreamServerError),
        ({"error": {"message": "busy", "type": "overloaded_error"}}, UpstreamOverloaded),
        ({"error": "oops"}, UpstreamServerError),
        ({"choices": [{"index": 0, "error": {"code": 502, "message": "oops"}}]}, UpstreamServerError),
        ({"choices": [{"index": 0, "error": {"code": 429, "message": "slow \ud83d"}}]}, UpstreamRateLimited),
        ({"object": "error", "message": "oops", "type": "server_error", "code": 500}, UpstreamServerError),
        ({"detail": "oops"}, UpstreamServerError),
    ],
)
@pytest.mark.parametrize("before", [[], [delta(content="x")]])
def test_an_error_in_the_stream_is_the_error_it_says(before, chunk, kind):
    with pytest.raises(ProxyError) as caught:
        run(*before, event(chunk))
    assert type(caught.value) is kind


def test_an_error_event_is_an_error_whatever_its_data_looks_like():
    with pytest.raises(UpstreamRateLimited):
        run(event({"message": "slow down", "code": 429}, "error"))


def test_output_before_an_error_is_given_first():
    decoding = decoder()
    with pytest.raises(UpstreamServerError):
        decoding.feed([delta(content="x"), event({"error": {"message": "oops"}})])
    assert decoding.take() == [TextDelta(text="x")]


def test_an_error_behind_the_finish_is_still_one():
    with pytest.raises(UpstreamServerError):
        run(delta("stop", content="x"), event({"error": {"message": "oops"}}))


def test_a_finish_reason_that_says_error_is_none():
    with pytest.raises(UpstreamStreamBroken):
        run(delta(content="x"), delta("error"))
    with pytest.raises(UpstreamServerError):
        run(delta("error"))


@pytest.mark.parametrize(
    "data", [b"<html>", b"null", b"[1]", b'"x"', b'{"choices":', b'{"choices":[{"delta":7}]}', b"NaN"]
)
def test_what_is_no_chunk_cannot_be_read(data):
    with pytest.raises(UpstreamProtocolError):
        run(ServerSentEvent("", data))


def test_half_an_event_at_the_end_of_the_connection_is_ignored():
    decoding = decoder()
    decoding.feed([delta(content="x"), delta("stop")])
    decoding.feed_rest([ServerSentEvent("", b'{"choices":[{"del')])
    decoding.end()
    assert isinstance(decoding.take()[-1], UpstreamEnd)
