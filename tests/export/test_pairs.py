"""Preference pairs and labels: of which records an export makes them."""

import json

import pytest

from llmproxy_grpc._gen.v1 import content_pb2
from llmproxy_grpc._gen.v1 import export_pb2 as pb
from llmproxy_grpc.records.record import FeedbackKind
from llmproxy_grpc.records.store import Batch
from tests.fakes.exports import SPLIT, a_chat, an_exchange, consistent, message, parts, refused, selected
from tests.fakes.records import a_judgement


def graded(entry, score, source="grader", name="grade"):
    return a_judgement(entry.record.id, name=name, kind=FeedbackKind.SCORE, number=score, source=source)


def shown(entry, answer=None):
    content = (answer or message("assistant", "well")).SerializeToString()
    return a_judgement(entry.record.id, kind=FeedbackKind.DEMONSTRATION, number=None, content=content)


def asks_for(*calls):
    parts = [
        content_pb2.ContentPart(tool_call=content_pb2.ToolCall(id=call_id, name="look", arguments_json=arguments))
        for call_id, arguments in calls
    ]
    return content_pb2.Message(role=content_pb2.ROLE_ASSISTANT, parts=parts)


PREFERENCES = pb.ExportOutput(format=pb.EXPORT_FORMAT_OPENAI_PREFERENCE)
BY_GRADE = pb.PreferencePairs(source=pb.PAIR_SOURCE_SCORE, feedback_name="grade", min_gap=0.2)


async def test_the_best_answer_to_a_prompt_is_paired_with_the_worst(server, writer):
    scores = {"a": 0.9, "b": 0.1, "c": 0.5, "d": 0.6, "e": 0.55}
    chats = {name: a_chat("Which?", name) for name in scores}
    lonely, ungraded = a_chat("Other?", "x"), a_chat("Which?", "y")
    writer.write(Batch(entries=[*chats.values(), lonely, ungraded]))
    writer.write(Batch(feedback=[graded(chats[name], score) for name, score in scores.items()] + [graded(lonely, 1.0)]))
    got = await selected(server, PREFERENCES, pairs=BY_GRADE)
    assert [
        (line["preferred_output"][0]["content"], line["non_preferred_output"][0]["content"]) for line in got.lines
    ] == [("a", "b")]
    assert dict(got.summary.skipped_records) == {"paired": 1, "no_pair": 5}


@pytest.mark.parametrize(("better", "worse"), [(0.7, 0.4), (0.8, 0.5), (1.1, 0.8), (4.0, 3.7)])
async def test_a_gap_is_what_its_decimal_digits_say(server, writer, better, worse):
    """Of binary fractions 0.7 - 0.4 is less than 0.3."""
    chats = [a_chat("Which?", answer) for answer in ("good", "bad")]
    writer.write(Batch(entries=chats))
    writer.write(Batch(feedback=[graded(chats[0], better), graded(chats[1], worse)]))
    found = []
    for gap in (0.3, 0.301):
        pairs = pb.PreferencePairs(source=pb.PAIR_SOURCE_SCORE, feedback_name="grade", min_gap=gap)
        found.append(len((await selected(server, PREFERENCES, pairs=pairs)).lines))
    assert found == [1, 0]


async def test_the_mean_of_several_sources_counts(server, writer):
    one, two = a_chat("Which?", "one"), a_chat("Which?", "two")
    writer.write(Batch(entries=[one, two]))
    writer.write(
        Batch(feedback=[graded(one, 1.0, "a"), graded(one, 0.0, "b"), graded(two, 0.8, "a"), graded(two, 0.8, "b")])
    )
    [line] = (await selected(server, PREFERENCES, pairs=BY_GRADE)).lines
    assert line["preferred_output"][0]["content"] == "two"


async def test_thumbs_rank_where_there_are_no_scores(server, writer):
    liked, disliked, scored = a_chat("Which?", "liked"), a_chat("Which?", "disliked"), a_chat("Other?", "scored")
    writer.write(Batch(entries=[liked, disliked, scored]))
    thumbs = [a_judgement(liked.record.id, name="grade"), a_judgement(disliked.record.id, name="grade", number=0.0)]
    writer.write(Batch(feedback=[*thumbs, graded(scored, 0.5)]))
    got = await selected(server, PREFERENCES, pairs=BY_GRADE)
    [line] = got.lines
    assert line["preferred_output"][0]["content"] == "liked"
    assert line["non_preferred_output"][0]["content"] == "disliked"
    assert dict(got.summary.skipped_records) == {"paired": 1, "no_pair": 1}


async def test_a_demonstration_that_says_what_the_answer_said_is_no_pair(server, writer):
    same, better = a_chat("How?", "well"), a_chat("How?", "badly")
    writer.write(Batch(entries=[same, better], feedback=[shown(same), shown(better)]))
    got = await selected(server, PREFERENCES)
    assert [line["non_preferred_output"][0]["content"] for line in got.lines] == ["badly"]
    assert dict(got.summary.skipped_records) == {"equal_sides": 1}


@pytest.mark.parametrize("form", [pb.EXPORT_FORMAT_OPENAI_PREFERENCE, pb.EXPORT_FORMAT_TRL_PREFERENCE])
async def test_sides_that_differ_in_the_ids_of_calls_alone_say_the_same(server, writer, form):
    same, better, turned = (
        an_exchange(message("user", "How?"), asks_for(("a", '{"at":1}'), ("b", '{"at":2}'))) for _ in range(3)
    )
    writer.write(Batch(entries=[same, better, turned]))
    demonstrations = {
        same: asks_for(("x", '{"at":1}'), ("y", '{"at":2}')),
        better: asks_for(("a", '{"at":1}'), ("b", '{"at":3}')),
        turned: asks_for(("b", '{"at":2}'), ("a", '{"at":1}')),
    }
    writer.write(Batch(feedback=[shown(entry, answer) for entry, answer in demonstrations.items()]))
    got = await selected(server, pb.ExportOutput(format=form))
    assert len(got.lines) == 2
    assert dict(got.summary.skipped_records) == {"equal_sides": 1}


async def test_both_sides_of_a_pair_are_of_the_part_that_their_conversations_are_in(server, writer):
    chats = [a_chat(f"prompt {number % 10}", f"c{number}", conversation=f"c{number}") for number in range(80)]
    writer.write(Batch(entries=chats))
    writer.write(Batch(feedback=[graded(chat, number) for number, chat in enumerate(chats)]))
    alone = parts(await selected(server, split=SPLIT))
    part_of = {json.loads(line)["messages"][-1]["content"]: part for part, lines in alone.items() for line in lines}
    assert len(set(part_of.values())) == 3
    found = parts(await selected(server, PREFERENCES, pairs=BY_GRADE, split=SPLIT))
    assert sum(map(len, found.values())) > 20
    for part, lines in found.items():
        for line in map(json.loads, lines):
            sides = (line["preferred_output"], line["non_preferred_output"])
            assert [part_of[side[0]["content"]] for side in sides] == [part, part]


async def test_labels_can_be_had_by_a_plan_that_names_their_feedback(server, writer):
    good, bad = a_chat("Which?", "good"), a_chat("Which?", "bad")
    writer.write(Batch(entries=[good, bad]))
    writer.write(Batch(feedback=[graded(good, 1.0), graded(bad, 0.0)]))
    kto = pb.ExportOutput(format=pb.EXPORT_FORMAT_TRL_KTO)
    named = pb.ExportSelection(pairs=pb.PreferencePairs(feedback_name="grade"))
    plan = await server.all(selection=named, output=kto, plan_only=True)
    got = consistent(await server.all(plan_id=plan.header.plan_id, output=kto))
    assert [(line["completion"][0]["content"], line["label"]) for line in got.lines] == [("good", True), ("bad", False)]
    nameless = await server.all(plan_only=True)
    assert "output.format" in await refused(server, plan_id=nameless.header.plan_id, output=kto)


async def test_a_demonstration_is_preferred_to_the_answer(server, writer):
    bad, other = a_chat("How?", "badly"), a_chat("Why?", "so")
    writer.write(Batch(entries=[bad, other]))
    writer.write(Batch(feedback=[shown(bad)]))
    got = await selected(server, PREFERENCES)
    assert [
        (line["preferred_output"][0]["content"], line["non_preferred_output"][0]["content"]) for line in got.lines
    ] == [("well", "badly")]
    assert dict(got.summary.skipped_records) == {"no_pair": 1}
    instead = await server.all(output=pb.ExportOutput(prefer_demonstration=True))
    assert instead.answers == ["well", "so"]


@pytest.mark.parametrize(
    ("form", "judge", "reason"),
    [
        (pb.EXPORT_FORMAT_TRL_PREFERENCE, shown, "no_pair"),
        (pb.EXPORT_FORMAT_TRL_KTO, lambda chat: graded(chat, 1.0, name="helpful"), "no_label"),
    ],
    ids=["pairs", "labels"],
)
async def test_what_nobody_judged_is_not_chosen(server, writer, form, judge, reason):
    chats = [a_chat("How?", str(number)) for number in range(60)]
    writer.write(Batch(entries=chats))
    writer.write(Batch(feedback=[judge(chat) for chat in chats[::2]]))
    output, pairs = pb.ExportOutput(format=form), pb.PreferencePairs(feedback_name="helpful")
    plan = await server.all(output=output, selection=pb.ExportSelection(pairs=pairs), plan_only=True)
    assert (plan.header.matched_records, plan.header.selected_records) == (60, 30)
    assert dict(plan.summary.skipped_records) == {reason: 30}
    got = await selected(server, output, pairs=pairs, sample=pb.Sample(count=20))
    assert got.summary.written_records == 20
    assert dict(got.summary.skipped_records) == {reason: 30, "not_sampled": 10}


async def test_a_demonstration_in_place_of_the_answer_is_as_good_as_a_label(server, writer):
    chats = [a_chat("How?", str(number)) for number in range(3)]
    writer.write(Batch(entries=chats))
    writer.write(Batch(feedback=[shown(chats[0]), graded(chats[1], 0.0, name="helpful")]))
    output = pb.ExportOutput(format=pb.EXPORT_FORMAT_TRL_KTO, prefer_demonstration=True)
    pairs = pb.PreferencePairs(feedback_name="helpful")
    got = await selected(server, output, pairs=pairs, sample=pb.Sample(fraction=1))
    assert [(line["completion"][0]["content"], line["label"]) for line in got.lines] == [("well", True), ("1", False)]
    assert dict(got.summary.skipped_records) == {"no_label": 1}
