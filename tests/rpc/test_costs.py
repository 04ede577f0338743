import json

import pytest

from llmproxy_grpc._gen.v1 import generation_pb2, model_pb2
from llmproxy_grpc.errors import UpstreamServerError, UpstreamStreamBroken
from llmproxy_grpc.messages import TextDelta, UpstreamStart, Usage, UsageSoFar
from llmproxy_grpc.routing.usage import FRAME
from tests.fakes.faulty_upstream import Answer, FaultyUpstream
from tests.fakes.http import get
from tests.fakes.polling import until
from tests.fakes.requests import broken_off, chat_request, failure, stream_request
from tests.fakes.scripted_provider import ScriptedProvider, answer, never, response
from tests.rpc.conftest import asking
from tests.rpc.test_embed import can, embed_request

# Three tokens in and two out, as the scripted provider says, cost 3 x 1 + 2 x 5 dollars for a million of them.
ROW = {"vendor": "scripted", "models": ["m"], "input": 1, "output": 5}
# An estimate of a prompt of eight characters: two tokens, and those around each message.
PROMPT = 2 + FRAME
PRICED = {"prices": {"rows": [ROW]}}
COST = 13_000


def told(trailers):
    return generation_pb2.Usage.FromString(dict(trailers)["llmproxy-usage-bin"])


async def charged(server, *labels):
    """The metric of costs, by its labels model, provider and currency."""
    lines = (await get(server.http, "/metrics"))[1].splitlines()
    model, provider, currency = labels
    wanted = f'llmproxy_cost_total{{currency="{currency}",model="{model}",provider="{provider}"}} '
    return [float(line.removeprefix(wanted)) for line in lines if line.startswith(wanted)]


async def test_a_chat_has_its_cost_in_the_answer_the_trailers_and_the_metric(serve):
    async with serve(PRICED) as server:
        call = server.stub.Chat(chat_request())
        cost = (await call).usage.cost
        trailers = await call.trailing_metadata()
        await server.stub.Chat(chat_request())
        total = await charged(server, "assistant", "scripted", "USD")
    assert (cost.currency_code, cost.amount_nanos) == ("USD", COST)
    assert told(trailers).cost == cost
    assert total == [pytest.approx(2 * COST / 1e9)]


async def test_a_stream_has_its_cost_in_the_end_the_final_response_and_the_trailers(serve):
    async with serve(PRICED) as server:
        call = server.stub.Stream(stream_request(include_final_response=True))
        end = [event async for event in call][-1].end
        trailers = await call.trailing_metadata()
        total = await charged(server, "assistant", "scripted", "USD")
    assert end.usage.cost.amount_nanos == COST
    assert end.final_response.usage == end.usage == told(trailers)
    assert total == [pytest.approx(COST / 1e9)]


async def test_an_unknown_price_leaves_the_cost_unset_and_counts_nothing(serve):
    async with serve({"prices": {"rows": [{**ROW, "models": ["m-2"]}]}}) as server:
        call = server.stub.Chat(chat_request())
        usage = (await call).usage
        trailers = await call.trailing_metadata()
        text = (await get(server.http, "/metrics"))[1]
    assert not usage.HasField("cost")
    assert not told(trailers).HasField("cost")
    assert "llmproxy_cost_total{" not in text


async def test_what_is_free_costs_nothing_which_is_not_unknown(serve):
    config = {"providers": [{"name": "scripted", "kind": "scripted", "prices": "free"}]}
    async with serve(config) as server:
        usage = (await server.stub.Chat(chat_request())).usage
    assert usage.HasField("cost")
    assert (usage.cost.currency_code, usage.cost.amount_nanos) == ("USD", 0)


async def test_the_echo_is_free(serve):
    async with serve({"providers": [{"name": "echo", "kind": "echo"}], "models": []}) as server:
        usage = (await server.stub.Chat(chat_request(model="echo/echo"))).usage
    assert usage.HasField("cost")


async def test_estimated_usage_has_a_cost_as_well(serve):
    async with serve(PRICED) as server:
        server.scripted.chats.append(response("x" * 40, usage=None))
        usage = (await server.stub.Chat(chat_request("y" * 8))).usage
    assert usage.source == generation_pb2.USAGE_SOURCE_ESTIMATE
    assert usage.cost.amount_nanos == PROMPT * 1000 + 10 * 5000


@pytest.mark.parametrize("usage", [None, Usage(0, 0, 0)])
async def test_a_stream_without_usage_or_with_none_used_is_priced_as_its_usage_says(serve, usage):
    async with serve(PRICED) as server:
        server.scripted.streams.append(answer("x" * 40, usage=usage))
        end = [event async for event in server.stub.Stream(stream_request("y" * 8))][-1].end
    assert end.usage.cost.amount_nanos == (0 if usage else PROMPT * 1000 + 10 * 5000)


async def test_a_stream_that_broke_costs_what_was_told_and_an_estimate_of_the_rest(serve):
    async with serve(PRICED) as server:
        server.scripted.streams.append(
            [
                [UpstreamStart("u")],
                [TextDelta(text="xxxx"), UsageSoFar(Usage(100, 1, 101))],
                [TextDelta(text="y" * 8)],
                UpstreamStreamBroken("It broke."),
            ]
        )
        _, error = await broken_off(server.stub.Stream(stream_request()))
        total = await charged(server, "assistant", "scripted", "USD")
    assert error.detail.partial_usage.cost.amount_nanos == 100 * 1000 + 3 * 5000
    assert told(error.trailers.items()).cost == error.detail.partial_usage.cost
    assert error.detail.attempts[0].usage.cost == error.detail.partial_usage.cost
    assert total == [pytest.approx(115_000 / 1e9)]


async def test_a_call_whose_caller_leaves_is_charged(serve):
    async with serve(PRICED) as server:
        server.scripted.streams.append([[UpstreamStart("u")], [TextDelta(text="x" * 8)], never])
        call = server.stub.Stream(stream_request("y" * 8))
        while (await call.read()).WhichOneof("event") != "delta":
            pass
        call.cancel()
        await until(lambda: server.scripted.cancelled)
        await until(lambda: server.app._admission.in_flight.get("Stream", 0) == 0)
        total = await charged(server, "assistant", "scripted", "USD")
    assert total == [pytest.approx((PROMPT * 1000 + 2 * 5000) / 1e9)]


async def test_each_attempt_is_charged_by_its_own_target(serve):
    providers = {"a": ScriptedProvider("a"), "b": ScriptedProvider("b")}
    config = {
        "providers": [{"name": "a", "kind": "scripted", "prices": "acme"}, {"name": "b", "kind": "scripted"}],
        "models": [{"id": "assistant", "targets": [{"provider": name, "model": "m"} for name in "ab"]}],
        "timeouts": {"first_token": 0.05},
        "prices": {"rows": [ROW, {**ROW, "vendor": "acme", "input": 1000, "currency": "EUR"}]},
    }
    providers["a"].streams.append([[UpstreamStart("u")], never])
    async with serve(config, providers=providers) as server:
        end = [event async for event in server.stub.Stream(stream_request("y" * 8))][-1].end
        euros = await charged(server, "assistant", "a", "EUR")
    (failed,) = end.route.failed_attempts
    assert (failed.usage.cost.currency_code, failed.usage.cost.amount_nanos) == ("EUR", PROMPT * 1_000_000)
    assert (end.usage.cost.currency_code, end.usage.cost.amount_nanos) == ("USD", COST)
    assert euros == [pytest.approx(PROMPT * 0.001)]


async def test_vectors_have_a_cost_that_is_the_sum_of_their_pieces(serve):
    async with serve({"prices": {"rows": [{**ROW, "output": 0}]}}) as server:
        server.scripted.can = can(most_inputs=2)
        call = server.stub.Embed(embed_request("a", "b", "c"))
        cost = (await call).usage.cost
        trailers = await call.trailing_metadata()
    # The scripted provider says three tokens in for each request.
    assert cost.amount_nanos == 2 * 3000
    assert told(trailers).cost == cost


async def test_counting_tokens_costs_nothing(serve):
    async with serve(PRICED) as server:
        await server.stub.CountTokens(model_pb2.CountTokensRequest(chat=chat_request()))
        assert "llmproxy_cost_total{" not in (await get(server.http, "/metrics"))[1]


async def test_a_refused_attempt_costs_nothing(serve):
    async with serve(PRICED) as server:
        server.scripted.chats.append(UpstreamServerError("It failed."))
        error = await failure(server.stub.Chat(chat_request()))
    assert not error.detail.attempts[0].HasField("usage")


async def test_a_reload_brings_new_prices(serve, tmp_path):
    (tmp_path / "prices.yaml").write_text(json.dumps({"rows": [ROW]}))
    async with serve({"prices": {"file": "prices.yaml"}}) as server:
        assert (await server.stub.Chat(chat_request())).usage.cost.amount_nanos == COST
        (tmp_path / "prices.yaml").write_text(json.dumps({"rows": [{**ROW, "input": 11}]}))
        await server.app._manager.reload()
        assert (await server.stub.Chat(chat_request())).usage.cost.amount_nanos == COST + 30_000
        (tmp_path / "prices.yaml").write_text("rows: [")
        await server.app._manager.reload()
        assert (await server.stub.Chat(chat_request())).usage.cost.amount_nanos == COST + 30_000


def charged_answer(**usage):
    tokens = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100, **usage}
    choice = {"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}
    return Answer.json(json.dumps({"id": "1", "choices": [choice], "usage": tokens}).encode())


@pytest.mark.parametrize(
    ("prices", "expected"),
    [("openrouter", 1_234_568), ("xai", 3_775_600), ("openai", 100_000 + 40_000), (None, None)],
)
async def test_a_charge_that_is_told_counts_from_those_alone_who_are_known_to_tell_it(serve, prices, expected):
    said = {"openrouter": {"cost": 0.0012345678}, "xai": {"cost_in_usd_ticks": 37_756_000}}.get(prices, {"cost": 9})
    async with FaultyUpstream() as upstream:
        config = asking(f"{upstream.url}/v1")
        config["providers"][0]["prices"] = prices
        config["models"][0]["targets"][0]["model"] = "gpt-4.1-nano"
        upstream.script(Answer.json(b'{"data":[]}'))
        async with serve(config) as server:
            await upstream.arrived()
            upstream.script(charged_answer(**said))
            usage = (await server.stub.Chat(chat_request())).usage
    assert (usage.cost.amount_nanos if usage.HasField("cost") else None) == expected
