"""A request is accepted where it holds nobody up."""

import pytest

from llmproxy_grpc._gen.v1 import embed_pb2
from llmproxy_grpc.aside import MANY
from llmproxy_grpc.server import request as accepting
from llmproxy_grpc.server.request import LARGE, accept, accept_embed
from tests.fakes.routing import Bench
from tests.fakes.threads import ran_beside
from tests.unit.server.validation.build import request


@pytest.mark.parametrize(("size", "beside"), [(0, False), (LARGE - 1, False), (LARGE, True)])
async def test_a_large_request_is_accepted_beside_the_loop_however_few_its_messages_are(monkeypatch, size, beside):
    ran = ran_beside(monkeypatch, accepting, "_accepted")
    call = Bench("a").call()
    call.request_bytes = size
    assert (await accept(request(), call)).model == "assistant"
    assert ran == [beside]


@pytest.mark.parametrize(
    ("size", "inputs", "beside"), [(0, 1, False), (LARGE - 1, MANY - 1, False), (LARGE, 1, True), (0, MANY, True)]
)
async def test_so_is_one_for_vectors_and_one_for_many(monkeypatch, size, inputs, beside):
    ran = ran_beside(monkeypatch, accepting, "_accepted_embed")
    call = Bench("a").call()
    call.request_bytes = size
    asked = embed_pb2.EmbedRequest(model="assistant", inputs=[{"text": "Hi"}] * inputs)
    assert len((await accept_embed(asked, call)).inputs) == inputs
    assert ran == [beside]
