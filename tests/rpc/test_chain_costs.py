"""Two proxies in a row: what the far one charges, and what a failure there has used."""

import time

from llmproxy_grpc.errors import UpstreamStreamBroken
from llmproxy_grpc.messages import TextDelta, UpstreamStart, UsageSoFar
from tests.fakes.polling import until
from tests.fakes.relay import Relay
from tests.fakes.requests import broken_off, chat_request, stream_request
from tests.fakes.scripted_provider import answer, never
from tests.rpc.chains import USED, chain, finally_of, routes, spoken, streamed

SOON = 1.0  # the promise is 100 ms; tests assert ten times the figure
PRICED = {"prices": {"rows": [{"vendor": "scripted", "models": ["m"], "currency": "EUR", "input": 1, "output": 5}]}}
COST = 30 * 1000 + 20 * 5000


async def test_what_the_far_proxy_charges_is_the_cost(serve):
    far_config = {**PRICED, "providers": [{"name": "scripted", "kind": "scripted", "prices": "scripted"}]}
    async with chain(serve, config=far_config) as (near, far):
        far.scripted.chats.append(spoken())
        far.scripted.streams.append(streamed())
        answered = (await near.stub.Chat(chat_request())).usage
        final, _ = await finally_of(near.stub.Stream(stream_request(include_final_response=True)))
    for usage in (answered, final.usage):
        assert (usage.cost.currency_code, usage.cost.amount_nanos) == ("EUR", COST)


async def test_what_a_broken_stream_used_at_the_far_end_is_what_it_used_here(serve):
    far_config = {**PRICED, "providers": [{"name": "scripted", "kind": "scripted", "prices": "scripted"}]}
    async with chain(serve, config=far_config) as (near, far):
        steps = [UpstreamStart("u")], [TextDelta(text="Hello")], [UsageSoFar(USED)]
        far.scripted.streams.extend([[*steps, UpstreamStreamBroken("Gone.")]] * 2)
        _, one = await broken_off(far.stub.Stream(stream_request()))
        _, two = await broken_off(near.stub.Stream(stream_request()))
    assert one.detail.partial_usage.cost.amount_nanos == COST
    assert two.detail.partial_usage == one.detail.partial_usage
    assert two.detail.attempts[0].usage == one.detail.attempts[0].usage


async def test_a_far_proxy_that_freezes_in_midstream_is_given_up_and_let_go(serve):
    async with serve() as far, Relay(int(far.address.rpartition(":")[2])) as relay:
        config = routes(f"127.0.0.1:{relay.port}") | {"timeouts": {"idle": 0.3}}
        async with serve(config) as near:
            far.scripted.streams.append([*answer()[:2], never])
            stream = near.stub.Stream(stream_request(), timeout=20)
            while (await stream.read()).WhichOneof("event") != "delta":
                pass
            relay.hold()
            began = time.monotonic()
            _, error = await broken_off(stream)
            assert time.monotonic() - began < 3
            assert error.reason == "UPSTREAM_TIMEOUT"
            relay.resume()
            await until(lambda: far.scripted.cancelled == 1, within=SOON)
