"""Which of the filtered records an export writes, in which order, and in which part."""

import random
import tracemalloc
from collections import Counter, defaultdict
from contextlib import closing

import apsw
import pytest
from msgspec.structs import replace

from llmproxy_grpc._gen.v1 import chat_pb2, content_pb2
from llmproxy_grpc._gen.v1 import export_pb2 as pb
from llmproxy_grpc.export import near
from llmproxy_grpc.export.selecting import SCHEMA, quotas_of
from llmproxy_grpc.export.similarity import jaccard, shingles
from llmproxy_grpc.export.similarity_process import Sketch
from llmproxy_grpc.export.spec import Sample
from llmproxy_grpc.records.record import Body
from llmproxy_grpc.records.store import Batch, Erase
from tests.fakes.exports import SPLIT, a_chat, consistent, parts, refused, selected

EXACT, NEAR = pb.DEDUPLICATION_EXACT, pb.DEDUPLICATION_NEAR


def conversations(chance, count):
    """The turns of conversations as agents record them: every call with all that was said before."""
    calls, leaves = [], set()
    for number in range(count):
        turns = [f"conversation {number}"]
        for step in range(chance.randrange(1, 8)):
            turns = [*turns, f"answer {step}"]
            calls.append(tuple(turns))
            turns = [*turns, f"question {step} {chance.random()}"]
        leaves.add(calls[-1])
    chance.shuffle(calls)
    return calls, leaves


async def test_only_the_leaves_of_conversations_are_left(server, writer):
    calls, leaves = conversations(random.Random(5), 60)
    writer.write(Batch(entries=[a_chat(*turns) for turns in calls]))
    got = await selected(server, leaves_only=True)
    said = {tuple(turn["content"] for turn in line["messages"]) for line in got.lines}
    assert said == leaves
    assert got.header.matched_records == len(calls)
    assert got.summary.skipped_records["superseded"] == len(calls) - len(leaves)


async def test_a_record_whose_continuation_the_filter_leaves_out_is_a_leaf(server, writer):
    writer.write(
        Batch(
            entries=[
                a_chat("a", "1"),
                a_chat("a", "1", "b", "2"),
                a_chat("a", "1", "b", "2", "c", "3", grpc_code=14),
            ]
        )
    )
    assert (await selected(server, leaves_only=True)).answers == ["2"]


async def test_a_leaf_that_may_not_be_used_hides_nothing(server, writer):
    writer.write(Batch(entries=[a_chat("a", "1"), a_chat("a", "1", "b", "2"), a_chat("a", "1", "b", "2", "c", "3")]))
    private = a_chat("d", "1", "e", "2", training_ok=False)
    writer.write(Batch(entries=[a_chat("d", "1"), private]))
    got = await selected(server, leaves_only=True)
    assert got.answers == ["3", "1"]
    assert dict(got.summary.skipped_records) == {"superseded": 2, "no_training": 1}
    assert (await selected(server, leaves_only=True, include_no_training=True)).answers == ["3", "2"]


async def test_of_repeats_the_oldest_is_kept(server, writer):
    writer.write(
        Batch(entries=[a_chat("Hello", "x"), a_chat(" hello ", "X"), a_chat("Hello", "y"), a_chat("Hello", "x")])
    )
    got = await selected(server, deduplication=EXACT)
    assert got.answers == ["x", "y"]
    assert got.summary.skipped_records["duplicate"] == 2


async def test_near_repeats_are_found_and_others_are_not(server, writer):
    chance = random.Random(11)
    words = [f"word{number}" for number in range(3000)]
    texts, cluster_of = [], {}
    for cluster in range(30):
        original = chance.choices(words, k=chance.choice([40, 120, 400]))
        for copy in range(5):
            changed = list(original)
            changes = 0 if copy == 0 else (1 if copy < 3 else len(original) // 4)
            for place in chance.sample(range(len(changed)), changes):
                changed[place] = f"other{chance.random()}"
            texts.append(" ".join(changed))
            cluster_of[texts[-1]] = cluster
    chance.shuffle(texts)
    writer.write(Batch(entries=[a_chat(text, "Yes.") for text in texts]))
    got = await selected(server, deduplication=NEAR)
    kept = [line["messages"][0]["content"] for line in got.lines]
    sets = {text: shingles([text, "Yes."]) for text in texts}
    wrong = right = missed = 0
    for place, text in enumerate(texts):
        older = [other for other in texts[:place] if other in kept]
        alike = any(jaccard(sets[text], sets[other]) >= 0.85 for other in older)
        right += alike and text not in kept
        missed += alike and text in kept
        wrong += not alike and text not in kept
    assert right > 30
    assert right / (right + missed) >= 0.95
    assert right / (right + wrong) >= 0.95


def with_parts(chat, *parts):
    """A recorded conversation whose answer has more parts."""
    response = chat_pb2.ChatResponse.FromString(chat.body.response)
    response.candidates[0].message.parts.extend(parts)
    return replace(chat, body=Body(chat.body.request, response.SerializeToString()))


async def test_what_differs_in_pictures_or_tools_alone_is_no_repeat(server, writer):
    words = " ".join(f"word{number}" for number in range(50))
    pictures = [content_pb2.ContentPart(image=content_pb2.Media(data=data)) for data in (b"one", b"two", b"two")]
    calls = [
        content_pb2.ContentPart(tool_call=content_pb2.ToolCall(id="a", name=name, arguments_json=f'{{"a": "{words}"}}'))
        for name in ("get_weather", "delete_city", "delete_city")
    ]
    chats = [with_parts(a_chat("Which?", words), part) for part in (*pictures, *calls)]
    writer.write(Batch(entries=[replace(chat, record=replace(chat.record, dkey=None)) for chat in chats]))
    got = await selected(server, pb.ExportOutput(format=pb.EXPORT_FORMAT_FULL_JSON), deduplication=NEAR)
    assert [line["seq"] for line in got.lines] == [1, 2, 4, 5]
    assert dict(got.summary.skipped_records) == {"near_duplicate": 2}


async def test_a_sample_is_of_the_size_asked_for_and_the_same_each_time(server, writer):
    writer.write(Batch(entries=[a_chat("a", str(number)) for number in range(200)]))
    quarter = await selected(server, sample=pb.Sample(fraction=0.25), seed=1)
    assert len(quarter.answers) == 50
    assert quarter.answers == sorted(quarter.answers, key=int)
    assert (await selected(server, sample=pb.Sample(fraction=0.25), seed=1)).data == quarter.data
    assert (await selected(server, sample=pb.Sample(fraction=0.25), seed=2)).answers != quarter.answers
    ten = await selected(server, sample=pb.Sample(count=10), seed=1)
    assert set(ten.answers) < set(quarter.answers)
    assert (await selected(server, sample=pb.Sample(count=0))).answers == []
    assert len((await selected(server, sample=pb.Sample(count=10**9))).answers) == 200


async def test_strata_keep_their_shares(server, writer):
    tiers = ["gold"] * 20 + ["free"] * 70 + [None] * 10
    writer.write(
        Batch(entries=[a_chat("a", tier or "none", labels={"tier": tier} if tier else None) for tier in tiers])
    )
    got = await selected(server, sample=pb.Sample(count=10, stratify_by_label="tier"))
    assert Counter(got.answers) == {"gold": 2, "free": 7, "none": 1}


@pytest.mark.parametrize("seed", range(20))
def test_quotas_are_exact_in_all_and_off_by_less_than_one_each(seed):
    chance = random.Random(seed)
    strata = {f"={number}": chance.randrange(1, 50) for number in range(chance.randrange(1, 9))}
    total = sum(strata.values())
    wanted = chance.randrange(total + 1)
    quotas = quotas_of(Sample(count=wanted), strata)
    assert sum(quotas.values()) == wanted
    assert all(abs(quotas[name] - wanted * count / total) < 1 for name, count in strata.items())
    assert all(quotas[name] <= count for name, count in strata.items())


async def test_shuffled_records_are_the_same_ones_in_another_order(server, writer):
    writer.write(Batch(entries=[a_chat("a", str(number)) for number in range(50)]))
    got = await selected(server, order=pb.EXPORT_ORDER_SHUFFLED, seed=3)
    again = await selected(server, order=pb.EXPORT_ORDER_SHUFFLED, seed=3)
    other = await selected(server, order=pb.EXPORT_ORDER_SHUFFLED, seed=4)
    assert sorted(got.answers, key=int) == [str(number) for number in range(50)]
    assert got.data == again.data != other.data
    some = await selected(server, order=pb.EXPORT_ORDER_SHUFFLED, seed=3, limit=5)
    assert some.answers == got.answers[:5]


async def test_new_records_move_no_old_one_between_parts_and_no_conversation_straddles(server, writer):
    chats = [a_chat(f"question {number}", f"{number % 30}", conversation=f"c{number % 30}") for number in range(150)]
    writer.write(Batch(entries=chats[:100]))
    before = parts(await selected(server, split=SPLIT, seed=9))
    assert set(before) == {pb.SPLIT_PART_TRAIN, pb.SPLIT_PART_VALIDATION, pb.SPLIT_PART_TEST}
    writer.write(Batch(entries=chats[100:]))
    got = await selected(server, split=SPLIT, seed=9)
    after = parts(got)
    assert all(set(lines) <= set(after[part]) for part, lines in before.items())
    where = defaultdict(set)
    for part, lines in after.items():
        for line in lines:
            where[line.rsplit(b'"content":', 1)[1]].add(part)
    assert len(where) == 30
    assert all(len(found) == 1 for found in where.values())
    assert [file.part for file in got.files] == [1, 2, 3]


async def test_without_repeats_no_repeat_is_in_two_parts(server, writer):
    writer.write(Batch(entries=[a_chat("same", f"{number % 40}", conversation=f"c{number}") for number in range(200)]))
    found = parts(await selected(server, split=SPLIT, deduplication=EXACT))
    lines = [line for part in found.values() for line in part]
    assert len(lines) == len(set(lines)) == 40


async def test_one_part_can_be_had_alone(server, writer):
    writer.write(Batch(entries=[a_chat(f"{number}", "x") for number in range(100)]))
    everything = await selected(server, split=SPLIT)
    for part in (pb.SPLIT_PART_TRAIN, pb.SPLIT_PART_VALIDATION, pb.SPLIT_PART_TEST):
        got = await selected(server, pb.ExportOutput(part=part), split=SPLIT)
        assert b"".join(chunk.data for chunk in everything.chunks if chunk.part == part) == got.data
        assert got.summary.skipped_records["other_part"] == 100 - got.summary.written_records
        assert got.header.plan_id == everything.header.plan_id


async def test_without_a_split_there_is_no_part_to_be_had(server, writer):
    writer.write(Batch(entries=[a_chat("a", "x")]))
    part = pb.ExportOutput(part=pb.SPLIT_PART_VALIDATION)
    assert "output.part" in await refused(server, output=part)
    shuffled = pb.ExportSelection(order=pb.EXPORT_ORDER_SHUFFLED)
    for selection in (pb.ExportSelection(), shuffled):
        whole = await server.all(selection=selection)
        assert "output.part" in await refused(server, plan_id=whole.header.plan_id, output=part)
    split = await server.all(selection=pb.ExportSelection(split=SPLIT), plan_only=True)
    await server.all(plan_id=split.header.plan_id, output=part)


async def test_records_themselves_come_of_one_part_at_a_time(server, writer):
    writer.write(Batch(entries=[a_chat(f"{number}", "x") for number in range(40)]))
    plan = (await server.all(selection=pb.ExportSelection(split=SPLIT), plan_only=True)).header.plan_id
    whole = pb.ExportOutput(format=pb.EXPORT_FORMAT_RECORDS)
    assert "output.part" in await refused(server, plan_id=plan, output=whole)
    assert "output.part" in await refused(server, selection=pb.ExportSelection(split=SPLIT), output=whole)
    seqs = []
    for part in (pb.SPLIT_PART_TRAIN, pb.SPLIT_PART_VALIDATION, pb.SPLIT_PART_TEST):
        got = consistent(await server.all(plan_id=plan, output=pb.ExportOutput(format=whole.format, part=part)))
        assert got.records
        seqs += [record.seq for record in got.records]
    assert sorted(seqs) == list(range(1, 41))


async def test_users_and_records_can_be_kept_together_instead(server, writer):
    writer.write(Batch(entries=[a_chat(f"{number}", "x", end_user=f"u{number % 9}") for number in range(90)]))
    for group in (pb.SPLIT_GROUP_END_USER, pb.SPLIT_GROUP_RECORD):
        split = pb.Split(validation_fraction=0.5, group_by=group)
        got = parts(await selected(server, split=split))
        users = {part: {int(line.split(b'"')[9]) % 9 for line in lines} for part, lines in got.items()}
        straddling = users[pb.SPLIT_PART_TRAIN] & users[pb.SPLIT_PART_VALIDATION]
        assert bool(straddling) == (group == pb.SPLIT_GROUP_RECORD)


async def test_a_limit_counts_what_is_selected_and_not_what_may_not_be_used(server, writer):
    chats = [a_chat("a", str(number), training_ok=number % 3 == 2) for number in range(30)]
    writer.write(Batch(entries=chats))
    got = await selected(server, limit=5)
    assert got.answers == ["2", "5", "8", "11", "14"]
    assert got.summary.written_records == 5


def test_what_near_repeats_are_looked_for_among_does_not_fill_the_memory(monkeypatch):
    class Sketching:
        def __init__(self, _check):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def sketches(self, bodies):
            return [Sketch(b"", [])] * len(bodies)

    monkeypatch.setattr(near, "Sketching", Sketching)
    monkeypatch.setattr(near, "read_bodies", lambda *_: {})
    with closing(apsw.Connection("")) as scratch:
        scratch.execute(SCHEMA).fetchall()
        row = "INSERT INTO candidate VALUES (?, 1000, '', 0, 0, 0, '', NULL, NULL, NULL, NULL, NULL)"
        with scratch:
            scratch.executemany(row, ((seq,) for seq in range(1, 100_001)))
        tracemalloc.start()
        try:
            near.leave_out_near_duplicates(scratch, None, "default", lambda: None)
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert most < 4_000_000


async def test_a_plan_can_be_looked_at_and_streamed_later(server, writer):
    writer.write(Batch(entries=[a_chat("a", str(number)) for number in range(30)]))
    selection = pb.ExportSelection(sample=pb.Sample(count=12), seed=5)
    preview = await server.all(selection=selection, plan_only=True)
    assert [answer.WhichOneof("payload") for answer in preview.messages] == ["header", "summary"]
    assert (preview.header.matched_records, preview.header.selected_records) == (30, 12)
    assert preview.header.estimated_bytes > 0
    writer.write(Batch(entries=[a_chat("a", "late")]))
    later = consistent(await server.all(plan_id=preview.header.plan_id))
    assert later.summary.written_records == 12
    assert "late" not in later.answers
    plain = await server.all(plan_only=True)
    assert (plain.header.matched_records, plain.header.selected_records) == (31, 31)


async def test_an_export_without_selection_can_be_had_again_by_its_plan(server, writer):
    writer.write(Batch(entries=[a_chat("a", str(number)) for number in range(30)]))
    first = await server.all(filter=pb.ExportFilter(models=["assistant"]))
    writer.write(Batch(entries=[a_chat("a", "late")]))
    assert (await server.all(plan_id=first.header.plan_id)).data == first.data


async def test_records_erased_behind_a_plan_are_absent_and_counted(server, writer):
    chats = [a_chat("a", str(number)) for number in range(10)]
    writer.write(Batch(entries=chats))
    preview = await server.all(selection=pb.ExportSelection(order=pb.EXPORT_ORDER_SHUFFLED), plan_only=True)
    writer.erase(Erase(tenant="default", id=chats[4].record.id), "asked")
    for form in (
        pb.EXPORT_FORMAT_OPENAI_CHAT,
        pb.EXPORT_FORMAT_SHAREGPT,
        pb.EXPORT_FORMAT_RECORDS,
        pb.EXPORT_FORMAT_CSV,
    ):
        got = consistent(await server.all(plan_id=preview.header.plan_id, output=pb.ExportOutput(format=form)))
        assert got.summary.written_records == 9
        assert dict(got.summary.skipped_records) == {"erased": 1}
