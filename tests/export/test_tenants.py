"""Tenants who record, judge, erase, plan, export and resume as chance has it: each sees his own, whole, always."""

import random

import grpc
import pytest

from llmproxy_grpc._gen.v1 import export_pb2 as pb
from llmproxy_grpc.calls import Caller
from llmproxy_grpc.records.store import Batch, Erase
from tests.fakes.exports import a_chat
from tests.fakes.records import a_judgement

TENANTS = ("a", "b", "c")
STEPS = 60
SELECTIONS = (
    pb.ExportRequest(),
    pb.ExportRequest(filter=pb.ExportFilter(labels=[pb.LabelCondition(key="k")])),
    pb.ExportRequest(filter=pb.ExportFilter(none_of=[pb.ExportFilter(labels=[pb.LabelCondition(key="none")])])),
    pb.ExportRequest(selection=pb.ExportSelection(order=pb.EXPORT_ORDER_SHUFFLED, seed=3)),
)
LIKED = pb.ExportRequest(filter=pb.ExportFilter(feedback=[pb.FeedbackCondition(name="helpful", thumbs_up=True)]))


class Walk:
    """What should be there, and the steps of the walk."""

    def __init__(self, seed, server, writer):
        self.chance = random.Random(seed)
        self.server = server
        self.writer = writer
        self.answers = {tenant: {} for tenant in TENANTS}
        self.liked = {tenant: set() for tenant in TENANTS}
        self.tokens = {}
        self.plans = {}
        self.count = 0

    async def step(self):
        tenant = self.chance.choice(TENANTS)
        self.server.caller = Caller(tenant=tenant)
        await self.chance.choice([self.record, self.judge, self.erase, self.plan, self.export, self.foreign])(tenant)

    async def record(self, tenant):
        for _ in range(self.chance.randrange(3, 9)):
            self.count += 1
            answer = f"{tenant}{self.count}"
            # All ask the same, with the same label and conversation: only the tenant tells them apart.
            chat = a_chat("q", answer, tenant=tenant, labels={"k": "v"}, conversation="c", end_user="ann")
            self.writer.write(Batch(entries=[chat]))
            self.answers[tenant][chat.record.id] = answer

    async def judge(self, tenant):
        """Anybody's record: of a foreign one it is kept, and seen by nobody who looks at his own."""
        known = [record_id for answers in self.answers.values() for record_id in answers]
        if known:
            judged = self.chance.choice(known)
            self.writer.write(Batch(feedback=[a_judgement(judged, tenant=tenant)]))
            if judged in self.answers[tenant]:
                self.liked[tenant].add(judged)

    async def erase(self, tenant):
        ids = [record_id for answers in self.answers.values() for record_id in answers]
        if ids and self.chance.random() < 0.7:
            gone = self.chance.choice(ids)
            self.writer.erase(Erase(tenant=tenant, id=gone), "request")
            self.answers[tenant].pop(gone, None)
            self.liked[tenant].discard(gone)
        elif self.chance.random() < 0.2:
            self.writer.erase(Erase(tenant=tenant, end_user="ann"), "request")
            self.answers[tenant].clear()
            self.liked[tenant].clear()

    async def plan(self, tenant):
        self.plans[tenant] = (await self.server.all(plan_only=True)).header.plan_id

    async def export(self, tenant):
        for request in SELECTIONS:
            got = await self.server.all(request)
            assert sorted(got.answers) == sorted(self.answers[tenant].values())
            if got.chunks:
                self.tokens[tenant] = (request, self.chance.choice(got.messages).resume_token)
        liked = sorted(self.answers[tenant][each] for each in self.liked[tenant])
        assert sorted((await self.server.all(LIKED)).answers) == liked

    async def foreign(self, tenant):
        """Others' plans, tokens and ids."""
        other = self.chance.choice([each for each in TENANTS if each != tenant])
        if other in self.plans:
            assert await self.refused(plan_id=self.plans[other]) is grpc.StatusCode.NOT_FOUND
        if other in self.tokens:
            request, token = self.tokens[other]
            wanted = pb.ExportRequest()
            wanted.CopyFrom(request)
            wanted.resume_token = token
            assert await self.refused(wanted) is grpc.StatusCode.INVALID_ARGUMENT
        # The plain form of an id, which is no secret.
        ids = [record_id.hex() for record_id in self.answers[other]]
        spelled = ["-".join((i[:8], i[8:12], i[12:16], i[16:20], i[20:])) for i in ids[:50]]
        if spelled:
            assert (await self.server.all(filter=pb.ExportFilter(record_ids=spelled))).data == b""

    async def refused(self, *request, **fields):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await self.server.all(*request, **fields)
        return caught.value.code()


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_they_do_everybody_sees_his_own_alone(server, writer, seed):
    walk = Walk(seed, server, writer)
    for _ in range(STEPS):
        await walk.step()
    for tenant in TENANTS:
        server.caller = Caller(tenant=tenant)
        await walk.export(tenant)
    assert walk.count > 20
