"""What the real server records of calls, good and bad."""

import asyncio
from uuid import UUID

import aiohttp
import grpc
import pytest

from llmproxy_grpc._gen.v1 import chat_pb2, content_pb2, embed_pb2, health_pb2, model_pb2
from llmproxy_grpc.errors import Fault, InvalidRequest, UpstreamServerError, UpstreamStreamBroken
from llmproxy_grpc.messages import ReasoningDelta, TextDelta, ToolCallDelta, UpstreamStart, Usage
from llmproxy_grpc.records.record import DataPolicy
from llmproxy_grpc.records.spool.segments import segments
from tests.fakes.kept import Kept
from tests.fakes.requests import chat_request
from tests.fakes.scripted_provider import ScriptedProvider, answer, never, response
from tests.rpc.test_costs import PRICED


@pytest.fixture
def kept(tmp_path):
    return Kept(tmp_path / "records")


def keeping(kept, **settings):
    return {"records": {"enabled": True, "directory": str(kept.places.folder), **settings}}


def told(model="assistant", **fields):
    request = chat_request("How are you?", model)
    request.MergeFrom(chat_pb2.ChatRequest(labels={"team": "a"}, end_user_id="ann", **fields))
    return request


async def test_a_chat_is_recorded_with_all_that_was_said(serve, kept):
    usage = Usage(3, 2, 5, cached_input_tokens=1)
    async with serve({**keeping(kept), **PRICED}) as server:
        server.scripted.chats.append(response("Fine", usage))
        answered = await server.stub.Chat(told(conversation_id="c"))
        [record] = await kept.wait(1)
    assert record.id == UUID(answered.id).bytes
    assert (record.seq, record.tenant, record.method, record.model) == (1, "default", "Chat", "assistant")
    assert (record.provider, record.upstream_model, record.attempts, record.fell_back) == ("scripted", "m", 1, False)
    assert (record.grpc_code, record.error_reason, record.complete, record.finish_reasons) == (0, "", True, 1 << 1)
    assert (record.input_tokens, record.output_tokens, record.total_tokens, record.cached_tokens) == (3, 2, 5, 1)
    assert (record.cost_nanos, record.cost_currency, record.usage_source) == (13_000, "USD", 1)
    assert (record.end_user, record.conversation, record.labels) == ("ann", "c", '{"team":"a"}')
    assert (record.messages, record.data_policy, record.training_ok) == (2, DataPolicy.FULL, True)
    assert 0 < record.started_at < record.ended_at
    assert record.latency_us == record.ended_at - record.started_at
    assert kept.request(record) == told(conversation_id="c")
    assert kept.response(record) == answered
    body = kept.body(record)
    assert body.line.endswith(b"\n")
    assert b"Fine" in body.line


async def test_a_stream_is_recorded_as_the_answer_that_its_events_make(serve, kept):
    async with serve(keeping(kept)) as server:
        server.scripted.streams.append(
            [
                [UpstreamStart("upstream-1"), ReasoningDelta(text="Hm", part_index=0)],
                [ToolCallDelta(part_index=1, id="call-1", name="f", arguments_json="{")],
                [ToolCallDelta(part_index=1, arguments_json="}")],
                *answer("Hello there")[1:],
            ]
        )
        request = chat_pb2.StreamRequest(chat=told())
        request.options.include_final_response = True
        events = [event async for event in server.stub.Stream(request)]
        [record] = await kept.wait(1)
    final = events[-1].end.final_response
    assert record.id == UUID(events[0].start.id).bytes
    assert (record.method, record.complete, record.grpc_code, record.attempts) == ("Stream", True, 0, 1)
    assert record.ttft_us is not None
    assert record.has_tool_calls
    stored = kept.response(record)
    assert stored.candidates == final.candidates
    assert stored.usage == final.usage
    assert stored.route == final.route
    assert stored.id == final.id
    assert kept.request(record) == told()


async def test_a_record_is_in_the_spool_before_the_answer_has_arrived(serve, kept):
    async with serve(keeping(kept)) as server:
        kept.places.folder.mkdir(exist_ok=True)
        answered = await server.stub.Chat(told())
        spooled = b"".join(segment.path.read_bytes() for segment in segments(kept.places.spool))
        assert answered.id.encode() in spooled or await kept.wait(1)
        events = [event async for event in server.stub.Stream(chat_pb2.StreamRequest(chat=told()))]
        spooled = b"".join(segment.path.read_bytes() for segment in segments(kept.places.spool))
        assert events[0].start.id.encode() in spooled or await kept.wait(2)


async def test_failures_are_recorded_with_their_reason(serve, kept):
    async with serve(keeping(kept)) as server:
        server.scripted.chats.append(UpstreamServerError("Broken."))
        with pytest.raises(grpc.aio.AioRpcError):
            await server.stub.Chat(told(), metadata=[("x-request-id", "r-1")])
        server.scripted.streams.append([*answer()[:2], UpstreamStreamBroken("Gone.")])
        with pytest.raises(grpc.aio.AioRpcError):
            async for _ in server.stub.Stream(chat_pb2.StreamRequest(chat=told())):
                pass
        failed, cut = await kept.wait(2)
    assert (failed.grpc_code, failed.error_reason, failed.complete) == (14, "UPSTREAM_SERVER_ERROR", False)
    assert b"r-1" in failed.error
    assert kept.body(failed).response == b""
    assert (cut.grpc_code, cut.error_reason, cut.complete) == (14, "UPSTREAM_STREAM_BROKEN", False)
    assert kept.response(cut).candidates[0].message.parts[0].text == "Hello"
    assert (cut.dkey, cut.full_hash) == (None, None)


async def test_a_call_that_its_caller_leaves_is_recorded_as_far_as_it_came(serve, kept):
    async with serve(keeping(kept)) as server:
        server.scripted.streams.append([*answer()[:2], never])
        stream = server.stub.Stream(chat_pb2.StreamRequest(chat=told()))
        async for event in stream:
            if event.WhichOneof("event") == "delta":
                break
        stream.cancel()
        [record] = await kept.wait(1)
    assert (record.grpc_code, record.error_reason, record.complete) == (1, "CALLER_CANCELLED", False)
    assert kept.response(record).candidates[0].message.parts[0].text == "Hello"


@pytest.mark.parametrize("request_", [chat_pb2.ChatRequest(model="m" * 5000), told(model="nobody")])
async def test_what_no_target_was_asked_leaves_figures_alone(serve, kept, request_):
    async with serve(keeping(kept)) as server:
        with pytest.raises(grpc.aio.AioRpcError):
            await server.stub.Chat(request_)
        [record] = await kept.wait(1)
    assert kept.body(record) is None
    assert record.model == request_.model[:256]
    assert (record.end_user, record.labels, record.provider) == ("", "", "")
    assert record.error_reason in {"INVALID_REQUEST", "MODEL_NOT_FOUND"}


async def test_embed_and_count_tokens_are_recorded_without_content(serve, kept):
    async with serve(keeping(kept)) as server:
        part = content_pb2.ContentPart(text="secret words")
        await server.stub.Embed(
            embed_pb2.EmbedRequest(model="assistant", inputs=[part], end_user_id="ann", labels={"team": "a"})
        )
        await server.stub.CountTokens(model_pb2.CountTokensRequest(chat=told()))
        embed, count = await kept.wait(2)
    for record, method in ((embed, "Embed"), (count, "CountTokens")):
        assert (record.method, record.model, record.grpc_code) == (method, "assistant", 0)
        assert (record.end_user, record.labels) == ("ann", '{"team":"a"}')
        assert kept.body(record) is None
        assert not record.training_ok
    everything = b"".join(path.read_bytes() for path in kept.places.folder.rglob("*") if path.is_file())
    assert b"secret words" not in everything


async def test_a_fallback_is_told(serve, kept):
    bad, good = ScriptedProvider("bad"), ScriptedProvider("good")
    bad.chats.append(UpstreamServerError("Broken."))
    targets = [{"provider": name, "model": "m"} for name in ("bad", "good")]
    models = [{"id": "assistant", "targets": targets}]
    async with serve({**keeping(kept), "models": models}, providers={"bad": bad, "good": good}) as server:
        await server.stub.Chat(told())
        [record] = await kept.wait(1)
    assert (record.provider, record.attempts, record.fell_back) == ("good", 2, True)


@pytest.mark.parametrize("policy", [chat_pb2.DATA_POLICY_METADATA_ONLY, 99])
@pytest.mark.parametrize("streamed", [False, True])
async def test_a_caller_can_have_figures_kept_alone(serve, kept, policy, streamed):
    request = told(data=policy)
    async with serve(keeping(kept)) as server:
        if streamed:
            wanted = chat_pb2.StreamRequest(chat=request)
            wanted.options.include_final_response = True
            _ = [event async for event in server.stub.Stream(wanted)]
        else:
            await server.stub.Chat(request)
        [record] = await kept.wait(1)
        everything = b"".join(path.read_bytes() for path in kept.places.folder.rglob("*") if path.is_file())
    assert kept.body(record) is None
    assert (record.data_policy, record.training_ok, record.finish_reasons) == (DataPolicy.METADATA_ONLY, False, 1 << 1)
    assert (record.end_user, record.labels, record.input_tokens) == ("ann", '{"team":"a"}', 3)
    assert b"How are you" not in everything
    assert b"Hello" not in everything


async def test_a_providers_words_are_content_too(serve, kept):
    """They may repeat the prompt."""
    fault = Fault(message="We do not answer: my canary prompt", code="nope")
    async with serve(keeping(kept)) as server:
        server.scripted.chats += [InvalidRequest("No.", fault=fault), InvalidRequest("No.", fault=fault)]
        for policy in (chat_pb2.DATA_POLICY_METADATA_ONLY, chat_pb2.DATA_POLICY_FULL):
            with pytest.raises(grpc.RpcError):
                await server.stub.Chat(told(data=policy))
        bare, whole = await kept.wait(2)
    assert b"canary" in whole.error
    assert b"canary" not in bare.error
    assert b"nope" in bare.error


async def test_a_caller_can_keep_a_call_out_of_training(serve, kept):
    async with serve(keeping(kept)) as server:
        await server.stub.Chat(told(data=chat_pb2.DATA_POLICY_NO_TRAINING))
        [record] = await kept.wait(1)
    assert (record.data_policy, record.training_ok) == (DataPolicy.NO_TRAINING, False)
    assert kept.body(record) is not None


async def test_no_caller_can_have_more_kept_than_the_operator_wants(serve, kept):
    async with serve(keeping(kept, content="metadata")) as server:
        await server.stub.Chat(told(data=chat_pb2.DATA_POLICY_FULL))
        [record] = await kept.wait(1)
        assert "records metadata alone for 30d in" in server.output.getvalue()
    assert kept.body(record) is None


@pytest.mark.parametrize("streamed", [False, True])
async def test_end_users_can_be_kept_as_hashes(serve, kept, streamed):
    async with serve(keeping(kept, end_user="hash")) as server:
        for _ in range(2):
            if streamed:
                _ = [event async for event in server.stub.Stream(chat_pb2.StreamRequest(chat=told()))]
            else:
                await server.stub.Chat(told())
        first, second = await kept.wait(2)
        everything = b"".join(path.read_bytes() for path in kept.places.folder.rglob("*") if path.is_file())
    assert first.end_user == second.end_user != "ann"
    assert len(first.end_user) == 32
    assert kept.request(first).end_user_id == first.end_user
    assert kept.request(first).messages == told().messages
    assert b"\x03ann" not in everything


async def test_a_conversation_is_found_by_what_was_said(serve, kept):
    async with serve(keeping(kept)) as server:
        first = await server.stub.Chat(told())
        request = told()
        request.messages.append(first.candidates[0].message)
        request.messages.add(role=content_pb2.ROLE_USER).parts.add(text="And you?")
        await server.stub.Chat(request)
        await server.stub.Chat(chat_request("Something else"))
        one, two, three = await kept.wait(3)
    assert two.parent_id == one.id
    assert one.conversation == two.conversation == str(UUID(bytes=one.id))
    assert three.conversation == str(UUID(bytes=three.id))
    assert one.full_hash == two.ancestors


async def test_with_records_off_nothing_is_kept(serve, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    async with serve() as server:
        await server.stub.Chat(told())
        assert "records off" in server.output.getvalue()
    assert not (tmp_path / "llmproxy-data").exists()


async def test_chats_go_on_when_there_is_no_place_for_records(serve, kept):
    kept.places.folder.write_text("a file is where the folder should be")
    async with serve(keeping(kept)) as server:
        for _ in range(3):
            await server.stub.Chat(told())
        health = await server.stub.Health(health_pb2.HealthRequest())
        assert health.status == health_pb2.SERVING_STATUS_DEGRADED
        kept.places.folder.unlink()
        async with asyncio.timeout(15):
            while (await server.stub.Health(health_pb2.HealthRequest())).status != health_pb2.SERVING_STATUS_SERVING:
                await server.stub.Chat(told())
                await asyncio.sleep(0.2)
        await server.stub.Chat(told())
        await kept.wait(1)


async def test_a_call_is_refused_before_its_first_word_if_it_cannot_be_kept_durably(serve, kept):
    async with serve(keeping(kept, durability="durable")) as server:
        await server.stub.Chat(told())
        assert len(await kept.wait(1)) == 1
        server.app._keeping._spool._keeper.failed()
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await server.stub.Chat(told())
        assert refused.value.code() == grpc.StatusCode.UNAVAILABLE
        assert len(server.scripted.requests) == 1
        async with asyncio.timeout(10):  # there is room, so the next look mends it
            while not server.app._keeping.sound:
                await asyncio.sleep(0.05)
        await server.stub.Chat(told())


@pytest.mark.parametrize("durability", ["spool", "durable", "async"])
async def test_every_call_of_a_crowd_is_recorded_once(serve, kept, durability):
    async with serve(keeping(kept, durability=durability)) as server:
        answers = await asyncio.gather(*(server.stub.Chat(told()) for _ in range(100)))
        records = await kept.wait(100)
        tally = server.app._keeping.tally
    assert {record.id for record in records} == {UUID(each.id).bytes for each in answers}
    assert [record.seq for record in records] == list(range(1, 101))
    assert (tally.accepted, tally.stored, tally.dropped.total()) == (100, 100, 0)


async def test_metrics_count_records(serve, kept):
    async with serve(keeping(kept)) as server, aiohttp.ClientSession() as http:
        await server.stub.Chat(told())
        await kept.wait(1)

        async def counted():
            async with http.get(f"http://{server.http}/metrics") as page:
                text = await page.text()
            wanted = [f'llmproxy_records_total{{state="{state}"}} 1.0' for state in ("accepted", "stored")]
            return all(line in text for line in wanted) and "llmproxy_spool_bytes" in text

        async with asyncio.timeout(10):
            while not await counted():
                await asyncio.sleep(0.1)


async def test_refusals_by_a_provider_keep_their_prompt(serve, kept):
    async with serve(keeping(kept)) as server:
        server.scripted.chats.append(InvalidRequest("No."))
        with pytest.raises(grpc.aio.AioRpcError):
            await server.stub.Chat(told())
        [record] = await kept.wait(1)
    assert kept.request(record).messages == told().messages


async def test_deltas_are_not_recorded_twice_when_the_answer_is_sent_along(serve, kept):
    async with serve(keeping(kept)) as server:
        server.scripted.streams.append([[UpstreamStart("u"), TextDelta(text="needle")], *answer("x")[1:]])
        request = chat_pb2.StreamRequest(chat=told())
        request.options.include_final_response = True
        _ = [event async for event in server.stub.Stream(request)]
        [record] = await kept.wait(1)
    assert kept.body(record).response.count(b"needle") == 1
