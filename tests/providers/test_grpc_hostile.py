"""The kind `grpc` before an upstream that means harm, or is no llmproxy at all."""

import time
from datetime import UTC, datetime

import grpc
import pytest
from google.rpc import error_details_pb2

from llmproxy_grpc import errors
from llmproxy_grpc._gen.v1 import chat_pb2, embed_pb2, error_pb2, generation_pb2, model_pb2
from llmproxy_grpc.calls import ANONYMOUS, Call
from llmproxy_grpc.messages import EmbedRequest, TextDelta, TextPart, UpstreamStart, Warning
from llmproxy_grpc.messages.collected import Collected
from llmproxy_grpc.providers import grpc_upstream
from llmproxy_grpc.providers.relay.line import MOST_PIECES, MOST_PIECES_AT_ONCE
from llmproxy_grpc.providers.upstream import MAX_ANSWER_BYTES
from llmproxy_grpc.server.status import describe
from llmproxy_grpc.wire import from_response
from tests.providers.conversations import ask, collected
from tests.providers.grpc_scripts import (
    END,
    FINISH,
    HELLO,
    START,
    event,
    info,
    refused,
    rich,
    streamed,
    upstream_and_provider,
)

Code = grpc.StatusCode


def says(text):
    """An answer of one text."""
    candidate = {"message": {"role": "ROLE_ASSISTANT", "parts": [{"text": text}]}}
    return chat_pb2.ChatResponse(candidates=[candidate])


async def test_an_answer_is_as_long_as_one_over_http_at_most():
    script = [says("x" * (MAX_ANSWER_BYTES + 1))]
    assert type(await refused(script[0])) is errors.UpstreamProtocolError


async def test_a_message_of_a_stream_is_as_long_at_most():
    script = [START, HELLO, event(delta={"text": "x" * MAX_ANSWER_BYTES}), FINISH, END]
    async with upstream_and_provider(script) as (_, provider):
        with pytest.raises(errors.UpstreamProtocolError):
            await collected(provider.stream(ask(), "m"))


async def test_an_answer_of_many_megabytes_is_none_the_less_an_answer():
    text = "x" * (16 * 1024 * 1024)  # four times what gRPC takes by default
    async with upstream_and_provider([says(text)]) as (_, provider):
        answer = await provider.chat(ask(), "m")
    assert answer.candidates[0].message.parts[0].text == text


def warnings(count, kind="start"):
    return event(**{kind: {"warnings": [{"code": "W", "field": f"{kind}.{number}"} for number in range(count)]}})


async def test_thousands_of_warnings_are_passed_over_behind_the_first_and_hold_nothing_up():
    script = [START, HELLO, FINISH]
    async with upstream_and_provider([warnings(9000), *script, warnings(9000, "end")]) as (_, provider):
        began = time.process_time()
        told = [each for each in await collected(provider.stream(ask(), "m")) if isinstance(each, Warning)]
    assert told == [Warning("W", f"start.{number}", "") for number in range(256)]
    assert time.process_time() - began < 2  # 0.1 s; each compared with all before, 4 s


@pytest.mark.parametrize("method", ["chat", "embed"])
async def test_an_answer_has_256_warnings_at_most_each_in_one_short_line(method):
    loud = [{"code": "A\nB", "field": "f" * 9000, "message": "Ü\x1b[31m" * 9000}] * 300
    script = [says("hello"), embed_pb2.EmbedResponse(embeddings=[{"values": [1.0]}])]
    for answer in script:
        answer.warnings.extend(chat_pb2.Warning(**each) for each in loud)
    async with upstream_and_provider([script[method == "embed"]]) as (_, provider):
        if method == "chat":
            told = (await provider.chat(ask(), "m")).warnings
        else:
            told = (await provider.embed(EmbedRequest("m", (TextPart(text="a"),)), "m")).warnings
    assert len(told) == 256
    assert (told[0].code, told[0].field) == ("A B", "f" * 256)
    assert len(told[0].message.encode()) <= 1024
    assert "\x1b" not in told[0].message


def nested(count):
    """A conversation's answer of so many pieces in a list within a list within ... of what a provider said."""
    answer = says("hello")
    values = answer.provider_metadata["x"].fields["y"].list_value.values
    for _ in range(count):
        values.add()
    return answer


def cited(count):
    answer = says("hello")
    citations = answer.candidates[0].message.parts[0].citations
    for _ in range(count):
        citations.add()
    return answer


@pytest.mark.parametrize("build", [nested, cited])
async def test_an_answer_of_countless_parts_is_refused_before_any_is_read(build):
    assert type(await refused(build(MOST_PIECES))) is errors.UpstreamProtocolError
    async with upstream_and_provider([build(MOST_PIECES // 100)]) as (_, provider):
        assert (await provider.chat(ask(), "m")).candidates


async def test_a_message_of_a_stream_has_fewer_parts():
    much = event(delta={"text": "a", "citations": [{}] * (MOST_PIECES_AT_ONCE + 1)})
    with pytest.raises(errors.UpstreamProtocolError):
        await streamed(START, much, FINISH, END)


@pytest.mark.parametrize(
    "odd",
    [
        {"delta": {"text": "a", "candidate_index": -1}},
        {"delta": {"text": "a", "candidate_index": 128}},
        {"delta": {"text": "a", "part_index": -1}},
        {"delta": {"text": "a", "part_index": 2**31 - 1}},
        {"finish": {"candidate_index": 10**6, "finish_reason": 1}},
    ],
    ids=str,
)
async def test_a_part_with_a_number_that_none_has_breaks_the_stream(odd):
    with pytest.raises(errors.UpstreamStreamBroken):
        await streamed(START, HELLO, event(**odd), FINISH, END)
    with pytest.raises(errors.UpstreamError):
        await streamed(START, event(**odd), FINISH, END)


@pytest.mark.parametrize(
    "script",
    [
        [HELLO, FINISH, HELLO, END],
        [HELLO, FINISH, FINISH, END],
        [HELLO, END],
        [HELLO, event(delta={"text": "b", "candidate_index": 1}), FINISH, END],
    ],
    ids=["output behind a finish", "two of them", "none", "none of the second candidate"],
)
async def test_each_candidate_has_one_finish_behind_its_last_output(script):
    with pytest.raises(errors.UpstreamStreamBroken):
        await streamed(START, *script)


async def test_a_stream_that_says_nothing_at_all_is_no_answer():
    with pytest.raises(errors.UpstreamProtocolError):
        await streamed(START, END)


def test_many_candidates_are_put_together_in_linear_time():
    growing = Collected()
    growing.take([TextDelta(text="a", candidate_index=number // 4, part_index=number % 4) for number in range(16_000)])
    began = time.process_time()
    answer = growing.response("")
    assert time.process_time() - began < 1  # 0.05 s; all parts looked at for each candidate, 8 s
    assert [len(candidate.message.parts) for candidate in answer.candidates] == [4] * 4000


async def test_ids_and_names_are_short_words_or_none():
    answer = says("hello")
    answer.id = "id\r\nx: 1"
    answer.route.upstream_model = "model\x00" * 9000
    async with upstream_and_provider([answer], [event(start={"id": "x" * 999}), HELLO, FINISH, END]) as (_, provider):
        told = await provider.chat(ask(), "m")
        started = (await collected(provider.stream(ask(), "m")))[0]
    assert told.upstream_request_id == ""
    assert len(told.provider_metadata["route"]["upstream_model"].encode()) <= 256
    assert "\x00" not in told.provider_metadata["route"]["upstream_model"]
    assert started == UpstreamStart("")


async def test_kinds_of_tokens_without_end_do_not_get_into_the_trailers():
    answer = says("hello")
    answer.usage.modality_tokens.extend([generation_pb2.ModalityTokens(modality=1, input_tokens=1)] * 9000)
    async with upstream_and_provider([answer]) as (_, provider):
        assert len((await provider.chat(ask(), "m")).usage.modality_tokens) <= 16


async def test_times_that_no_duration_can_say_are_written_as_the_longest():
    answer = says("hello")
    answer.candidates[0].message.parts[0].cache_hint.ttl.seconds = 2**63 - 1
    async with upstream_and_provider([answer]) as (_, provider):
        told = await provider.chat(ask(), "m")
    call = Call("id", "Chat", "", ANONYMOUS, datetime.now(UTC), 0.0, 0.0)
    part = from_response(told, call, describe=describe).candidates[0].message.parts[0]
    assert part.cache_hint.ttl.seconds == 315_576_000_000


@pytest.mark.parametrize(("seconds", "wait"), [(-(2**63), 0.0), (-1, 0.0), (3, 3.0), (2**63 - 1, 86_400.0)])
async def test_a_wait_is_a_day_at_most(seconds, wait):
    detail, info_of_wait = error_pb2.ErrorDetail(), error_details_pb2.RetryInfo()
    detail.retry_after.seconds = info_of_wait.retry_delay.seconds = seconds
    for said in (detail, info_of_wait):
        failed = await refused(rich(Code.UNAVAILABLE, info("UPSTREAM_RATE_LIMITED"), said))
        assert failed.retry_after == wait


async def test_what_an_error_says_besides_is_little_and_clean():
    said = {f"k{number}": "v\n" for number in range(40)} | {"no name": "v", "": "v"}
    violations = [{"field": f"f{number}\x00", "description": "d"} for number in range(400)]
    bad = error_details_pb2.BadRequest(field_violations=violations)
    detail = error_pb2.ErrorDetail(upstream_http_status=-7)
    failed = await refused(rich(Code.INVALID_ARGUMENT, info("INVALID_REQUEST", **said), bad, detail))
    assert len(failed.metadata) == 8
    assert set(failed.metadata) <= {f"k{number}" for number in range(40)}
    assert set(failed.metadata.values()) == {"v"}
    assert len(failed.violations) == 50
    assert failed.violations[0].field == "f0"
    assert failed.fault.http_status == 0


async def test_a_list_of_models_of_millions_is_refused(monkeypatch):
    monkeypatch.setattr(grpc_upstream, "PAGE", 1)  # so that a hundred are too many
    models = [{"id": f"m{number}"} for number in range(101)]
    async with upstream_and_provider([model_pb2.ListModelsResponse(models=models)]) as (_, provider):
        with pytest.raises(errors.UpstreamProtocolError):
            await provider.list_models()
