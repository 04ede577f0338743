"""Every kind that speaks HTTP, against its vendor's answers and against answers that no vendor should give."""

import asyncio
import gzip
import json
import random
import re
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmproxy_grpc.errors import (
    ProxyError,
    UpstreamOverloaded,
    UpstreamProtocolError,
    UpstreamRateLimited,
    UpstreamServerError,
    UpstreamStreamBroken,
)
from llmproxy_grpc.messages import (
    FinishReason,
    FunctionTool,
    ProviderResponse,
    StreamEvent,
    TextDelta,
    ToolCallPart,
    UpstreamEnd,
)
from llmproxy_grpc.providers.http import HttpClient
from llmproxy_grpc.providers.provider import Provider
from tests.fakes import eventstream
from tests.fakes.faulty_upstream import Answer, Do, FaultyUpstream, Framing, Step
from tests.providers.conversations import ask, assembled, collect, collected
from tests.providers.http_kind import HttpKind
from tests.providers.kinds import HTTP_KINDS

TEXTS = ["One", " two", " three"]
FULL = "One two three"
LARGEST = 2**31 - 1
SOON = 1.0  # the promise is 100 ms; tests assert ten times the figure

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.text(st.characters(codec="utf-8"), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
arguments = st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=6), json_values, max_size=4)
names = st.text("abcdefghijklmnopqrstuvwxyz_0123456789", min_size=1, max_size=12).filter(lambda name: name[0].isalpha())


def text_of(events: Sequence[StreamEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


async def streamed(kind: HttpKind, provider: Provider, upstream: FaultyUpstream, body: Sequence[Step]) -> Any:
    """What a stream of these frames means: an answer, or the error with the text that came before it."""
    upstream.script(kind.streaming(body))
    events: list[StreamEvent] = []
    try:
        await collect(provider.stream(ask(), kind.model), events)
    except ProxyError as error:
        assert not any(isinstance(event, UpstreamEnd) for event in events)
        return error, text_of(events)
    return assembled(events)


@pytest.mark.parametrize("end", [Do.EOF, Do.RESET])
async def test_a_stream_cut_between_two_frames_is_whole_or_an_error(kind, provider, upstream, end):
    frames = kind.stream(TEXTS, ("5", "7"))
    whole = 0
    for length in range(len(frames) + 1):
        outcome = await streamed(kind, provider, upstream, [*frames[:length], 0.005, end])
        if isinstance(outcome, ProviderResponse):
            whole += 1
            assert outcome.candidates[0].message.parts[0].text == FULL
            assert outcome.candidates[0].finish_reason is FinishReason.STOP
            continue
        assert whole == 0, "more of a stream cannot be less"
        error, text = outcome
        assert FULL.startswith(text)
        assert type(error) is (UpstreamStreamBroken if text else UpstreamProtocolError)
    assert whole >= 1


async def test_a_stream_cut_at_any_byte_is_whole_or_an_error(kind, provider, upstream):
    body = b"".join(kind.stream(TEXTS, ("5", "7")))
    for cut in sorted(random.Random(7).sample(range(len(body)), 50)):
        outcome = await streamed(kind, provider, upstream, [body[:cut], Do.EOF])
        if isinstance(outcome, ProviderResponse):
            assert outcome.candidates[0].message.parts[0].text == FULL
            assert outcome.candidates[0].finish_reason is FinishReason.STOP
        else:
            assert isinstance(outcome[0], UpstreamStreamBroken | UpstreamProtocolError)
            assert FULL.startswith(outcome[1])


@pytest.mark.parametrize("chop", [1, 7, 64])
async def test_a_stream_means_the_same_however_it_is_chopped(kind, provider, upstream, chop):
    frames = kind.stream([*TEXTS, " ünïcödé 🦜"], ("5", "7"))
    upstream.script(kind.streaming([b"".join(frames)], chop=chop), kind.streaming(frames))
    chopped = assembled(await collected(provider.stream(ask(), kind.model)))
    assert chopped == assembled(await collected(provider.stream(ask(), kind.model)))
    assert chopped.usage is not None
    assert (chopped.usage.input_tokens, chopped.usage.output_tokens) == (5, 7)


async def test_every_frame_that_comes_alone_is_given_alone(kind, provider, upstream):
    frames: list[Step] = []
    for frame in kind.stream(TEXTS, None):
        frames += [frame, 0.005]
    upstream.script(kind.streaming(frames))
    batches = [batch async for batch in provider.stream(ask(), kind.model)]
    assert len([batch for batch in batches if any(isinstance(event, TextDelta) for event in batch)]) == len(TEXTS)


async def test_half_a_character_waits_for_its_other_half(kind, provider, upstream):
    outcome = await streamed(kind, provider, upstream, kind.stream(["a\ud83e", "\udd9c", "b\ud83e"], None))
    assert outcome.candidates[0].message.parts[0].text == "a🦜b\ufffd"


def spelled(body: bytes, call: ToolCallPart) -> bytes:
    """The body with a call's arguments as an object, on the wires whose own are text."""
    return body.replace(json.dumps(call.arguments_json).encode(), call.arguments_json.encode())


async def arguments_of_an_object(kind: HttpKind, provider: Provider, upstream: FaultyUpstream, text: str) -> list[str]:
    """The arguments of a call that come as this object: of an answer in pieces, and of a whole one."""
    call = ToolCallPart(id="call_1", name="f", arguments_json=text)
    answer = Answer.json(spelled(kind.calls_answer([call]), call))
    upstream.script(answer, answer)
    request = ask(tools=(FunctionTool("f"),))
    in_pieces = assembled(await collected(provider.stream(request, kind.model)))
    whole = await provider.chat(request, kind.model)
    return [answered.candidates[0].message.parts[0].arguments_json for answered in (in_pieces, whole)]


# The wire of one vendor alone, whose arguments are text.
LIBERAL_KINDS = [kind for kind in HTTP_KINDS if kind.name != "cohere"]


@pytest.mark.parametrize("kind", LIBERAL_KINDS, ids=lambda kind: kind.name)
async def test_half_a_character_in_arguments_that_are_an_object_fails_no_call(kind, provider, upstream):
    for arguments_json in await arguments_of_an_object(kind, provider, upstream, '{"x":"a\\ud83d"}'):
        assert json.loads(arguments_json) == {"x": "a\ufffd"}


@pytest.mark.parametrize("kind", LIBERAL_KINDS, ids=lambda kind: kind.name)
@pytest.mark.parametrize(
    "text", ['{"x":1.10,"z":1e2,"w":100000000000000000000.0}', '{"a":1,"a":2}', '{ "n" : 9007199254740993 }', "{}"]
)
async def test_arguments_that_are_an_object_arrive_to_the_byte(kind, text, provider, upstream):
    assert await arguments_of_an_object(kind, provider, upstream, text) == [text, text]


def halved(told: bytes) -> bytes:
    """An error with half a character in its message."""
    return re.sub(rb'("(?:message|error)": ?"[^"]+)"', rb'\1 \\ud83d"', told)


async def test_half_a_character_in_an_error_is_the_error_all_the_same(kind, provider, upstream):
    told = halved(kind.error_frame)
    if kind.name == "bedrock":  # whose frames say how long they are
        told = eventstream.frame("serviceUnavailableException", b'{"message":"\\ud83d"}', message_type="exception")
    error, _ = await streamed(kind, provider, upstream, [kind.stream(["One"], None)[0], told])
    assert isinstance(error, UpstreamOverloaded | UpstreamServerError | UpstreamRateLimited | UpstreamStreamBroken)
    if kind.error_body:
        upstream.script(Answer.json(halved(kind.error_body)))
        with pytest.raises(UpstreamRateLimited):
            await provider.chat(ask(), kind.model)


async def test_a_very_long_frame_arrives_whole(kind, provider, upstream):
    text = "é" * 600_000
    upstream.script(kind.streaming(kind.stream([text], None), chop=65_536), Answer.json(kind.answer(text)))
    assert text_of(await collected(provider.stream(ask(), kind.model))) == text
    assert (await provider.chat(ask(), kind.model)).candidates[0].message.parts[0].text == text


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(called=st.lists(st.tuples(names, arguments), min_size=1, max_size=4), data=st.data())
@pytest.mark.parametrize("ascii_only", [True, False], ids=["escaped", "utf-8"])
async def test_tool_calls_split_at_any_byte_arrive_to_the_byte(kind, called, data, ascii_only):
    calls = [
        ToolCallPart(id=f"call_{index}", name=name, arguments_json=json.dumps(value, ensure_ascii=ascii_only))
        for index, (name, value) in enumerate(called)
    ]
    request = ask(tools=tuple(FunctionTool(call.name) for call in calls))
    async with FaultyUpstream() as upstream:
        http = HttpClient(connect_timeout=1)
        provider = await kind.provider(upstream, http)
        body = b"".join(kind.calls_stream(calls))
        cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=6)))
        pieces = [body[start:end] for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True) if start < end]
        upstream.script(kind.streaming(pieces), Answer.json(kind.calls_answer(calls)))
        in_pieces = assembled(await collected(provider.stream(request, kind.model)))
        at_once = await provider.chat(request, kind.model)
        await http.aclose()
    for answer in (in_pieces, at_once):
        (candidate,) = answer.candidates
        assert candidate.finish_reason is FinishReason.TOOL_CALLS
        assert [part.name for part in candidate.message.parts] == [call.name for call in calls]
        assert len({part.id for part in candidate.message.parts}) == len(calls)
        assert all(part.id for part in candidate.message.parts)
        given_arguments = [part.arguments_json for part in candidate.message.parts]
        if kind.arguments_are_objects:
            # Numbers keep their digits: Python's integers have no end, and no float is among the values.
            assert [json.loads(text) for text in given_arguments] == [value for _, value in called]
        else:
            assert given_arguments == [call.arguments_json for call in calls]


@pytest.mark.parametrize(
    "answer",
    [
        Answer(headers={"content-type": "text/html"}, body=[b"<html>Login</html>"]),
        Answer(headers={"content-type": "text/html; charset=utf-8"}, body=[b"<!doctype html>"], framing=Framing.CLOSE),
        Answer.json(b""),
        Answer.json(b"{"),
        Answer.json(b"{}"),
        Answer.json(b"[]"),
        Answer.json(b"null"),
        Answer.json(b'"text"'),
        Answer.json(b"NaN"),
        Answer.json(b"1e400"),
        Answer.json(b'{"id": ' + b"9" * 5000 + b"}"),
        Answer.json(b"[" * 100_000),
        Answer.json(b'{"a":' * 100_000),
        Answer.json(b"\xff\xfe"),
        Answer(status=302, headers={"location": "http://127.0.0.1:1/"}),
        Answer(status=204, headers={}),
        Answer(raw=[b"garbage\r\n\r\n", Do.EOF]),
        Answer(raw=[Do.EOF]),
        Answer(raw=[b"HTTP/1.1 200 OK\r\ncontent-le", Do.EOF]),
        Answer(body=[b'{"id":"x', Do.EOF], length=400),
        Answer(body=[b'{"id":"x', Do.RESET], length=400),
    ],
)
async def test_what_is_no_answer_cannot_be_read(kind, provider, upstream, answer):
    upstream.script(answer, answer)
    with pytest.raises(UpstreamProtocolError):
        await collected(provider.stream(ask(), kind.model))
    with pytest.raises(UpstreamProtocolError):
        await provider.chat(ask(), kind.model)


@pytest.mark.parametrize(
    "body",
    [[], [b"\n\n"], [b"<html>\n\n"], [b"data: <html>\n\n"], [b"data: NaN\n\n"], [b"data: [[[[\n\n"], [b"\x00" * 64]],
    ids=["empty", "blank", "html", "html event", "nan", "depth", "zeros"],
)
async def test_a_stream_of_nothing_cannot_be_read(kind, provider, upstream, body):
    error, text = await streamed(kind, provider, upstream, body)
    assert type(error) is UpstreamProtocolError
    assert text == ""


@pytest.mark.parametrize("chunk", [b"zz\r\n", b"-3\r\nabc\r\n", b"9" * 5000 + b"\r\n"], ids=["odd", "negative", "huge"])
async def test_a_chunk_that_is_none_is_a_protocol_error_at_once(kind, provider, upstream, chunk):
    def broken(content_type: str, piece: bytes) -> Answer:
        head = f"HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ntransfer-encoding: chunked\r\n\r\n".encode()
        return Answer(raw=[head, b"%x\r\n%b\r\n" % (len(piece), piece), 0.005, chunk, Do.STALL])

    frames = kind.stream(TEXTS, None)
    cut = next(index for index, frame in enumerate(frames) if b"three" in frame)
    upstream.script(broken(kind.stream_type, b"".join(frames[:cut])), broken("application/json", b'{"id":'))
    events: list[StreamEvent] = []
    async with asyncio.timeout(5):
        with pytest.raises(UpstreamProtocolError, match="not valid HTTP"):
            await collect(provider.stream(ask(), kind.model), events)
        assert text_of(events) == "One two"
        with pytest.raises(UpstreamProtocolError, match="not valid HTTP"):
            await provider.chat(ask(), kind.model)


async def test_garbage_behind_output_breaks_the_stream_and_keeps_the_output(kind, provider, upstream):
    frames = kind.stream(TEXTS, None)
    cut = next(index for index, frame in enumerate(frames) if b"three" in frame)
    error, text = await streamed(kind, provider, upstream, [*frames[:cut], 0.005, b"data: {]\n\n{]\n\n" + b"\x00" * 64])
    assert isinstance(error, UpstreamProtocolError | UpstreamStreamBroken)
    assert text == "One two"


async def test_an_answer_in_one_piece_is_taken_for_a_stream_too(kind, provider, upstream):
    upstream.script(Answer.json(kind.answer(FULL)), Answer.json(kind.answer(FULL)))
    events = await collected(provider.stream(ask(), kind.model))
    assert assembled(events).candidates == (await provider.chat(ask(), kind.model)).candidates


async def test_a_compressed_answer_is_read_or_refused_but_never_mistaken(kind, provider, upstream):
    body = gzip.compress(kind.answer(FULL))
    upstream.script(Answer.json(body, headers={"content-encoding": "gzip"}))
    assert (await provider.chat(ask(), kind.model)).candidates[0].message.parts[0].text == FULL
    assert upstream.requests[0].headers["accept-encoding"] == "identity"


async def test_an_error_within_a_stream_comes_behind_its_output(kind, provider, upstream):
    frames = kind.stream(TEXTS, None)
    cut = next(index for index, frame in enumerate(frames) if b"three" in frame)
    error, text = await streamed(kind, provider, upstream, [b"".join(frames[:cut]) + kind.error_frame])
    assert isinstance(error, UpstreamOverloaded | UpstreamServerError | UpstreamRateLimited | UpstreamStreamBroken)
    assert text == "One two"


@pytest.mark.parametrize("kind", [kind for kind in HTTP_KINDS if kind.error_body], ids=lambda kind: kind.name)
async def test_an_error_behind_status_200_is_an_error(kind, upstream, http):
    provider = await kind.provider(upstream, http)
    answer = Answer.json(kind.error_body)
    upstream.script(answer, answer)
    with pytest.raises(UpstreamRateLimited):
        await provider.chat(ask(), kind.model)
    with pytest.raises(UpstreamRateLimited):
        await collected(provider.stream(ask(), kind.model))


@pytest.mark.parametrize("counts", ["0", "-5", "3.9", "1e300", str(2**40), "9" * 400, "null", '"12"', "[]", "true"])
async def test_absurd_counts_are_clipped_and_never_fail_a_call(kind, provider, upstream, counts):
    answer = await streamed(kind, provider, upstream, kind.stream(TEXTS, (counts, counts)))
    assert answer.candidates[0].message.parts[0].text == FULL
    usage = answer.usage
    if usage is not None:
        numbers = (usage.input_tokens, usage.output_tokens, usage.total_tokens, usage.cached_input_tokens)
        assert all(isinstance(number, int) and 0 <= number <= LARGEST for number in numbers)


@pytest.mark.parametrize("prompt", ["0", "-5", "0.4", "null", '"5"', "[]", "true"])
@pytest.mark.parametrize("answered", ["0", "7"])
async def test_counts_without_the_prompt_are_no_usage(kind, provider, upstream, prompt, answered):
    answer = await streamed(kind, provider, upstream, kind.stream(TEXTS, (prompt, answered)))
    assert answer.candidates[0].message.parts[0].text == FULL
    assert answer.usage is None


async def test_a_stream_without_usage_says_none(kind, provider, upstream):
    answer = await streamed(kind, provider, upstream, kind.stream(TEXTS, None))
    assert answer.candidates[0].message.parts[0].text == FULL
    assert answer.usage is None


@pytest.mark.parametrize(
    "answer",
    [Answer(before_head=[Do.STALL]), Answer(headers={"content-type": "text/event-stream"}, body=[Do.STALL])],
    ids=["headers", "body"],
)
async def test_cancelling_closes_the_connection(kind, provider, upstream, answer):
    for call in (provider.chat(ask(), kind.model), collected(provider.stream(ask(), kind.model))):
        upstream.script(answer)
        before = len(upstream.requests)
        task = asyncio.create_task(call)
        request = await upstream.arrived(before + 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(request.closed.wait(), SOON)


async def test_the_key_is_in_no_error(kind, provider, upstream):
    answer = Answer.json(b'{"message":"test-key is wrong","error":{"message":"bad test-key"}}', status=400)
    upstream.script(answer, answer)
    for call in (provider.chat(ask(), kind.model), collected(provider.stream(ask(), kind.model))):
        with pytest.raises(ProxyError) as caught:
            await call
        assert "test-key" not in f"{caught.value} {caught.value.fault}"


async def test_a_complete_stream_gives_its_connection_back(kind, provider, upstream):
    for _ in range(3):
        upstream.script(kind.streaming(kind.stream(TEXTS, ("5", "7"))))
        await collected(provider.stream(ask(), kind.model))
    assert upstream.connections == 1
