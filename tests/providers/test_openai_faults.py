"""The kind openai against a failing upstream: never a false success, no text twice, and always the right reason."""

import asyncio
import random
from contextlib import aclosing

import pytest

from llmproxy_grpc.config.schema import ProviderConfig
from llmproxy_grpc.errors import (
    ContextLengthExceeded,
    CredentialsRejected,
    InvalidRequest,
    ModelNotFound,
    PromptBlocked,
    ProxyError,
    UpstreamOverloaded,
    UpstreamProtocolError,
    UpstreamQuotaExhausted,
    UpstreamRateLimited,
    UpstreamServerError,
    UpstreamStreamBroken,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from llmproxy_grpc.messages import (
    Delta,
    GenerationConfig,
    StreamEvent,
    TextDelta,
    UpstreamEnd,
    UpstreamStart,
    Usage,
    UsageSoFar,
)
from llmproxy_grpc.providers.chat_completions.quirks import OPENAI
from llmproxy_grpc.providers.chat_completions.wire import ChatCompletions, Dialect
from llmproxy_grpc.providers.http import HttpClient
from llmproxy_grpc.providers.openai import OpenAiProvider
from llmproxy_grpc.providers.upstream import Upstream
from tests.fakes.faulty_upstream import Answer, Do, FaultyUpstream, Framing, openai_answer, openai_stream
from tests.providers.conversations import ask, assembled, collect, collected

EVENTS = openai_stream(["One", " two", " three"])
FULL = "One two three"
FINISHED_AT = 5  # the role, three deltas, the finish
SOON = 1.0  # the promise is 100 ms; tests assert ten times the figure


@pytest.fixture
def provider(upstream: FaultyUpstream, http: HttpClient) -> OpenAiProvider:
    config = ProviderConfig(name="faulty", kind="openai", base_url=f"{upstream.url}/v1", api_key="test-key")
    return OpenAiProvider.from_config(config, http)


def openai_stream_with_usage(*texts: str) -> list[bytes]:
    """Events of one delta each that count what was used so far: five tokens of the prompt, and one for each event."""
    event = b'data: {"choices":[{"delta":{"content":"%b"}}],"usage":{"prompt_tokens":5,"completion_tokens":%d}}\n\n'
    return [event % (text.encode(), count) for count, text in enumerate(texts, 1)]


def text_of(events: list[StreamEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


@pytest.mark.parametrize("end", [Do.EOF, Do.RESET])
@pytest.mark.parametrize("index", range(FINISHED_AT))
async def test_a_stream_cut_before_its_finish_never_ends_well(provider, upstream, index, end):
    upstream.script(Answer.stream([*EVENTS[:index], 0.01, end]))
    events: list[StreamEvent] = []
    with pytest.raises(UpstreamStreamBroken if index > 1 else UpstreamProtocolError):
        await collect(provider.stream(ask(), "m"), events)
    assert isinstance(events[0], UpstreamStart)
    assert text_of(events) == "".join(["One", " two", " three"][: max(index - 1, 0)])
    assert not any(isinstance(event, UpstreamEnd) for event in events)


@pytest.mark.parametrize("end", [Do.EOF, Do.RESET])
@pytest.mark.parametrize("index", range(FINISHED_AT, len(EVENTS) + 1))
async def test_a_stream_cut_behind_its_finish_is_complete(provider, upstream, index, end):
    upstream.script(Answer.stream([*EVENTS[:index], 0.01, end]))
    assert text_of(await collected(provider.stream(ask(), "m"))) == FULL


async def test_a_stream_cut_at_any_byte_is_either_whole_or_an_error(provider, upstream):
    body = b"".join(EVENTS)
    finished = len(b"".join(EVENTS[:FINISHED_AT]))
    for cut in sorted(random.Random(7).sample(range(len(body)), 60)):
        upstream.script(Answer.stream([body[:cut], Do.EOF]))
        events: list[StreamEvent] = []
        try:
            await collect(provider.stream(ask(), "m"), events)
        except (UpstreamStreamBroken, UpstreamProtocolError):
            assert cut < finished
            assert FULL.startswith(text_of(events))
        else:
            # The blank line behind the finish may be missing.
            assert cut >= finished - 2
            assert text_of(events) == FULL


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, b'{"error":{"message":"bad","type":"invalid_request_error"}}', InvalidRequest),
        (400, b'{"error":{"message":"long","code":"context_length_exceeded"}}', ContextLengthExceeded),
        (400, b'{"error":{"message":"no","code":"content_filter"}}', PromptBlocked),
        (
            401,
            b'{"error":{"message":"Incorrect API key provided: test-key","code":"invalid_api_key"}}',
            CredentialsRejected,
        ),
        (402, b"{}", UpstreamQuotaExhausted),
        (404, b'{"error":{"code":"model_not_found"}}', ModelNotFound),
        (408, b"", UpstreamTimeout),
        (429, b'{"error":{"code":"insufficient_quota"}}', UpstreamQuotaExhausted),
        (429, b'{"error":{"code":"rate_limit_exceeded"}}', UpstreamRateLimited),
        (500, b"<html>", UpstreamServerError),
        (503, b'{"error":{"message":"overloaded"}}', UpstreamOverloaded),
        (529, b"", UpstreamOverloaded),
        (302, b"", UpstreamProtocolError),
        (204, b"", UpstreamProtocolError),
    ],
)
async def test_a_status_is_the_same_error_for_chat_and_stream(provider, upstream, status, body, kind):
    answer = Answer.json(body, status=status, headers={"x-request-id": "req-7", "location": "http://127.0.0.1:1/"})
    upstream.script(answer, answer)
    for call in (provider.chat(ask(), "m"), collected(provider.stream(ask(), "m"))):
        with pytest.raises(ProxyError) as caught:
            await call
        assert type(caught.value) is kind
        assert "test-key" not in str(caught.value) + repr(caught.value.fault)
        assert caught.value.fault is not None
        assert caught.value.fault.http_status == status


async def test_a_wait_that_the_provider_names_is_kept(provider, upstream):
    upstream.script(Answer.json(b'{"error":{"message":"slow"}}', status=429, headers={"retry-after": "7"}))
    with pytest.raises(UpstreamRateLimited) as caught:
        await provider.chat(ask(), "m")
    assert caught.value.retry_after == 7


@pytest.mark.parametrize(
    "answer",
    [
        Answer(headers={"content-type": "text/html"}, body=[b"<html>Login</html>"]),
        Answer.stream([]),
        Answer.stream([b": ping\n\n", b"data: [DONE]\n\n"]),
        Answer.stream([b"data: <html>\n\n"]),
        Answer.json(b""),
        Answer.json(b"{"),
        Answer.json(b"{}"),
        Answer.json(b'{"choices":[]}'),
        Answer(raw=[b"garbage\r\n\r\n", Do.EOF]),
        Answer(raw=[Do.EOF]),
        Answer(raw=[b"HTTP/1.1 200 OK\r\ncontent-le", Do.EOF]),
        Answer(body=[openai_answer("Hello")[:40], Do.EOF], length=400),
        Answer(body=[openai_answer("Hello")[:40], Do.RESET], length=400),
    ],
)
async def test_what_is_no_answer_cannot_be_read(provider, upstream, answer):
    upstream.script(answer, answer)
    with pytest.raises(UpstreamProtocolError):
        await collected(provider.stream(ask(), "m"))
    with pytest.raises(UpstreamProtocolError):
        await provider.chat(ask(), "m")


async def test_an_error_behind_status_200_is_an_error(provider, upstream):
    answer = Answer.json(b'{"error":{"code":429,"message":"slow down"}}')
    upstream.script(answer, answer)
    with pytest.raises(UpstreamRateLimited):
        await provider.chat(ask(), "m")
    with pytest.raises(UpstreamRateLimited):
        await collected(provider.stream(ask(), "m"))


async def test_an_error_within_a_stream_comes_behind_its_output(provider, upstream):
    error = b'data: {"error":{"message":"busy","type":"overloaded_error"}}\n\n'
    upstream.script(Answer.stream([b"".join(EVENTS[:3]) + error]))
    events: list[StreamEvent] = []
    with pytest.raises(UpstreamOverloaded):
        await collect(provider.stream(ask(), "m"), events)
    assert text_of(events) == "One two"


async def test_no_connection_is_told_apart(http):
    config = ProviderConfig(name="gone", kind="openai", base_url="http://127.0.0.1:1/v1", api_key="test-key")
    provider = OpenAiProvider.from_config(config, http)
    for call in (provider.chat(ask(), "m"), collected(provider.stream(ask(), "m")), provider.probe()):
        with pytest.raises(UpstreamUnreachable):
            await call


async def test_a_stream_that_stalls_behind_its_finish_is_complete(upstream, http):
    wire = ChatCompletions(Upstream(http, upstream.url), Dialect(quirks=OPENAI), tail_seconds=0.05)
    upstream.script(Answer.stream([*EVENTS[:FINISHED_AT], Do.STALL]))
    response = assembled(await collected(wire.stream(ask(), "m")))
    assert response.candidates[0].message.parts[0].text == FULL
    assert response.usage is None
    await asyncio.wait_for((await upstream.arrived()).closed.wait(), 1)


async def test_pings_behind_the_finish_do_not_keep_a_stream_open(upstream, http):
    wire = ChatCompletions(Upstream(http, upstream.url), Dialect(quirks=OPENAI), tail_seconds=0.05)
    upstream.script(Answer.stream([*EVENTS[:FINISHED_AT], *([b": ping\n\n", 0.01] * 1000)]))
    async with asyncio.timeout(5):
        assert text_of(await collected(wire.stream(ask(), "m"))) == FULL


async def test_a_connection_that_stays_open_behind_done_holds_nothing_up(provider, upstream):
    upstream.script(Answer.stream([*EVENTS, Do.STALL]))
    async with asyncio.timeout(1):
        assert text_of(await collected(provider.stream(ask(), "m"))) == FULL


async def test_a_complete_stream_gives_its_connection_back(provider, upstream):
    for _ in range(5):
        upstream.script(Answer.stream(EVENTS))
        await collected(provider.stream(ask(), "m"))
    assert upstream.connections == 1


async def test_output_before_a_stall_is_given_at_once(provider, upstream):
    upstream.script(Answer.stream([*EVENTS[:2], Do.STALL]))
    async with aclosing(provider.stream(ask(), "m")) as batches, asyncio.timeout(1):
        assert isinstance((await anext(batches))[0], UpstreamStart)
        assert text_of(list(await anext(batches))) == "One"


@pytest.mark.parametrize(
    "answer",
    [
        Answer(before_head=[Do.STALL]),
        Answer.stream([Do.STALL]),
        Answer.stream([*EVENTS[:2], Do.STALL]),
        Answer.stream([EVENTS[1][:20], Do.STALL]),
        Answer.stream([*EVENTS[:FINISHED_AT], Do.STALL]),
    ],
    ids=["headers", "first token", "next token", "half an event", "usage"],
)
async def test_cancelling_a_stream_closes_the_connection_in_every_phase(provider, upstream, answer):
    upstream.script(answer)
    task = asyncio.create_task(collected(provider.stream(ask(), "m")))
    request = await upstream.arrived()
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(request.closed.wait(), SOON)


@pytest.mark.parametrize("answer", [Answer(before_head=[Do.STALL]), Answer(body=[b"{", Do.STALL], length=400)])
async def test_cancelling_a_chat_closes_the_connection(provider, upstream, answer):
    upstream.script(answer)
    task = asyncio.create_task(provider.chat(ask(), "m"))
    request = await upstream.arrived()
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(request.closed.wait(), SOON)


async def test_leaving_a_stream_early_closes_the_connection(provider, upstream):
    upstream.script(Answer.stream([*EVENTS[:2], Do.STALL]))
    async with aclosing(provider.stream(ask(), "m")) as batches:
        async for batch in batches:
            if any(isinstance(event, Delta) for event in batch):
                break
    await asyncio.wait_for((await upstream.arrived()).closed.wait(), SOON)


async def test_a_stream_that_ends_with_the_connection_is_complete(provider, upstream):
    upstream.script(
        Answer(headers={"content-type": "text/event-stream"}, body=[b"".join(EVENTS[:5])], framing=Framing.CLOSE)
    )
    assert text_of(await collected(provider.stream(ask(), "m"))) == FULL


async def test_a_long_answer_arrives_whole(provider, upstream):
    text = "é" * 600_000
    upstream.script(Answer.stream(openai_stream(text), chop=65_536), Answer.json(openai_answer(text)))
    assert text_of(await collected(provider.stream(ask(), "m"))) == text
    assert (await provider.chat(ask(), "m")).candidates[0].message.parts[0].text == text


@pytest.mark.parametrize("end", [EVENTS[-2:], EVENTS[-1:], []], ids=["usage and [DONE]", "[DONE]", "end of the body"])
async def test_fewer_candidates_than_asked_for_are_an_answer_if_the_stream_ends_well(provider, upstream, end):
    upstream.script(Answer.stream([*EVENTS[:FINISHED_AT], *end]))
    request = ask(generation=GenerationConfig(candidate_count=2))
    assert len(assembled(await collected(provider.stream(request, "m"))).candidates) == 1


@pytest.mark.parametrize("end", [Do.EOF, Do.RESET])
async def test_a_stream_cut_before_a_candidate_asked_for_has_begun_never_ends_well(provider, upstream, end):
    upstream.script(Answer.stream([*EVENTS[:FINISHED_AT], 0.01, end]))
    events: list[StreamEvent] = []
    with pytest.raises(UpstreamStreamBroken):
        await collect(provider.stream(ask(generation=GenerationConfig(candidate_count=2)), "m"), events)
    assert text_of(events) == FULL
    assert not any(isinstance(event, UpstreamEnd) for event in events)


async def test_a_cut_stream_tells_the_usage_that_came_before_the_cut(provider, upstream):
    upstream.script(Answer.stream([EVENTS[0], *openai_stream_with_usage("One", " two"), 0.01, Do.RESET]))
    events: list[StreamEvent] = []
    with pytest.raises(UpstreamStreamBroken):
        await collect(provider.stream(ask(), "m"), events)
    assert text_of(events) == "One two"
    assert [event.usage for event in events if isinstance(event, UsageSoFar)][-1] == Usage(5, 2, 7)


async def test_a_whole_stream_tells_its_usage_once_if_it_comes_with_the_end(provider, upstream):
    upstream.script(Answer.stream([*EVENTS[:FINISHED_AT], b"".join(EVENTS[FINISHED_AT:])]))
    events = await collected(provider.stream(ask(), "m"))
    assert not any(isinstance(event, UsageSoFar) for event in events)
    assert isinstance(events[-1], UpstreamEnd)
    assert events[-1].usage == Usage(5, 7, 12)


async def test_a_list_of_models_that_is_cut_off_cannot_be_read(provider, upstream):
    upstream.script(Answer(body=[b'{"data":[', Do.EOF], length=400))
    with pytest.raises(UpstreamProtocolError):
        await provider.list_models()


@pytest.mark.parametrize("body", [[b"{", Do.EOF], [b"x" * 100_000]])
async def test_an_error_whose_body_cannot_be_read_is_that_of_its_status(provider, upstream, body):
    upstream.script(Answer(status=503, body=body, length=None if len(body) == 1 else 400))
    with pytest.raises(UpstreamServerError):
        await provider.chat(ask(), "m")
