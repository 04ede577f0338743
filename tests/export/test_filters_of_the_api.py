"""Every field of the API's filter finds what its words promise, from the request to the records."""

from collections.abc import Iterator

import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from llmproxy_grpc._gen.v1 import chat_pb2, content_pb2, export_pb2, generation_pb2
from llmproxy_grpc._gen.v1.export_pb2 import (
    ExportFilter,
    FeedbackCondition,
    LabelCondition,
    NumberCondition,
    TextCondition,
)
from llmproxy_grpc.records.record import Body, Entry, FeedbackKind
from llmproxy_grpc.records.store import Batch
from tests.fakes.exports import a_chat, message
from tests.fakes.records import a_judgement, an_id

WINDOW = {"after_seq", "as_of_seq", "as_of_feedback_seq"}
"""What test_windows is about."""
ID = 0xABC
RECORDS = export_pb2.ExportOutput(format=export_pb2.EXPORT_FORMAT_RECORDS)


def a_long_conversation():
    """Somebody speaks in every role, a tool is called and answers."""
    call = content_pb2.ToolCall(id="1", name="weather", arguments_json='{"city":"Köln"}')
    result = content_pb2.ToolResult(tool_call_id="1", content=[content_pb2.ContentPart(text="eighteen degrees")])
    said = [
        message("system", "Be brief"),
        message("developer", "Metric units"),
        message("user", "How far is the Straße?"),
        content_pb2.Message(role=content_pb2.ROLE_ASSISTANT, parts=[content_pb2.ContentPart(tool_call=call)]),
        content_pb2.Message(role=content_pb2.ROLE_TOOL, parts=[content_pb2.ContentPart(tool_result=result)]),
    ]
    answer = chat_pb2.Candidate(message=message("assistant", "It is WARM there"), finish_reason=1)
    return Body(
        chat_pb2.ChatRequest(messages=said).SerializeToString(),
        chat_pb2.ChatResponse(candidates=[answer]).SerializeToString(),
    )


WORLD = {
    "plain": a_chat("Where is the tea?", "In the pot.", id=an_id(ID)),
    "late": a_chat(started_at=10_000_000),
    "model": a_chat(model="other"),
    "provider": a_chat(provider="other"),
    "upstream": a_chat(upstream_model="other"),
    "failed": a_chat(grpc_code=14),
    "cut": a_chat(finish_reasons=1 << generation_pb2.FINISH_REASON_MAX_TOKENS),
    "user": a_chat(end_user="ann"),
    "conversation": a_chat(conversation="c-1"),
    "key": a_chat(caller_key_id="key-1"),
    "embedding": a_chat(method="Embed", keep=False),
    "tools": a_chat(has_tool_calls=True),
    "media": a_chat(has_media=True),
    "second choice": a_chat(fell_back=True),
    "gold": a_chat(labels={"tier": "gold"}),
    "silver": a_chat(labels={"tier": "silver"}),
    "praised": a_chat(),
    "blamed": a_chat(),
    "graded": a_chat(),
    "corrected": a_chat(),
    "dear": a_chat(
        input_tokens=1000,
        output_tokens=200,
        total_tokens=1200,
        cost_nanos=150_000_000,
        latency_us=2_500_000,
        ttft_us=400_000,
        messages=7,
        content_bytes=5000,
    ),
    "long": Entry(a_chat().record, a_long_conversation()),
}
JUDGEMENTS = (
    a_judgement(WORLD["praised"].record.id, number=1.0, source="user"),
    a_judgement(WORLD["blamed"].record.id, number=0.0, source="grader"),
    a_judgement(WORLD["graded"].record.id, name="grade", kind=FeedbackKind.SCORE, number=0.75),
    a_judgement(WORLD["corrected"].record.id, kind=FeedbackKind.DEMONSTRATION, number=None, content=b""),
)
USUAL = set(WORLD) - {"failed", "embedding"}
"""What an export that asks for nothing finds: chats that succeeded."""


def number(field: str, **bounds: float) -> ExportFilter:
    return ExportFilter(numbers=[NumberCondition(field=f"NUMBER_FIELD_{field}", **bounds)])


def text(contains: str, **others) -> ExportFilter:
    return ExportFilter(texts=[TextCondition(contains=contains, **others)])


def judged(name: str, **others) -> ExportFilter:
    return ExportFilter(feedback=[FeedbackCondition(name=name, **others)])


def labelled(key: str, *values: str, operator: str = "UNSPECIFIED") -> ExportFilter:
    return ExportFilter(labels=[LabelCondition(key=key, operator=f"LABEL_OPERATOR_{operator}", values=values)])


CASES = {
    "start_time": (ExportFilter(start_time=Timestamp(seconds=10)), {"late"}),
    "start_time, past it": (ExportFilter(start_time=Timestamp(seconds=10, nanos=1)), set()),
    "end_time": (ExportFilter(end_time=Timestamp(seconds=10)), USUAL - {"late"}),
    "end_time, past it": (ExportFilter(end_time=Timestamp(seconds=10, nanos=1)), USUAL),
    "record_ids": (ExportFilter(record_ids=[f"00000000-0000-0000-0000-{ID:012X}"]), {"plain"}),
    "models": (ExportFilter(models=["other", "none"]), {"model"}),
    "providers": (ExportFilter(providers=["other", "none"]), {"provider"}),
    "upstream_models": (ExportFilter(upstream_models=["other", "none"]), {"upstream"}),
    "grpc_codes": (ExportFilter(grpc_codes=[14]), {"failed"}),
    "grpc_codes, several": (ExportFilter(grpc_codes=[0, 14]), USUAL | {"failed"}),
    "finish_reasons": (ExportFilter(finish_reasons=["FINISH_REASON_MAX_TOKENS"]), {"cut"}),
    "end_user_ids": (ExportFilter(end_user_ids=["ann", "bob"]), {"user"}),
    "conversation_ids": (ExportFilter(conversation_ids=["c-1", "c-2"]), {"conversation"}),
    "caller_key_ids": (ExportFilter(caller_key_ids=["key-1", "key-2"]), {"key"}),
    "methods": (ExportFilter(methods=["Embed"]), {"embedding"}),
    "methods, several": (ExportFilter(methods=["Chat", "Embed"]), USUAL | {"embedding"}),
    "has_tool_calls": (ExportFilter(has_tool_calls=True), {"tools"}),
    "has_tool_calls, without": (ExportFilter(has_tool_calls=False), USUAL - {"tools"}),
    "has_media": (ExportFilter(has_media=True), {"media"}),
    "has_media, without": (ExportFilter(has_media=False), USUAL - {"media"}),
    "fell_back": (ExportFilter(fell_back=True), {"second choice"}),
    "fell_back, not": (ExportFilter(fell_back=False), USUAL - {"second choice"}),
    "any_of": (ExportFilter(any_of=[{"models": ["other"]}, {"providers": ["other"]}]), {"model", "provider"}),
    "any_of, of any code": (ExportFilter(grpc_codes=[0, 14], any_of=[{"methods": ["Chat"]}]), USUAL | {"failed"}),
    "none_of": (ExportFilter(none_of=[{"models": ["other"]}, {"providers": ["other"]}]), USUAL - {"model", "provider"}),
    "label": (labelled("tier"), {"gold", "silver"}),
    "label, there": (labelled("tier", operator="EXISTS"), {"gold", "silver"}),
    "label, one of": (labelled("tier", "gold", "platinum", operator="IN"), {"gold"}),
    "label, none of": (labelled("tier", "gold", "platinum", operator="NOT_IN"), {"silver"}),
    "label, beginning": (labelled("tier", "si", "x", operator="PREFIX"), {"silver"}),
    "label, another": (labelled("team"), set()),
    "judged": (judged("helpful"), {"praised", "blamed", "corrected"}),
    "judged by the grader": (judged("helpful", source="grader"), {"blamed"}),
    "thumbs up": (judged("helpful", thumbs_up=True), {"praised"}),
    "thumbs down": (judged("helpful", thumbs_up=False), {"blamed"}),
    "score at least": (judged("grade", min_score=0.75), {"graded"}),
    "score at least more": (judged("grade", min_score=0.76), set()),
    "score at most": (judged("grade", max_score=0.75), {"graded"}),
    "score at most less": (judged("grade", max_score=0.74), set()),
    "demonstrated": (judged("helpful", has_demonstration=True), {"corrected"}),
    "input tokens at least": (number("INPUT_TOKENS", min=1000), {"dear"}),
    "input tokens at least more": (number("INPUT_TOKENS", min=1001), set()),
    "input tokens at most": (number("INPUT_TOKENS", max=1000), {"dear"}),
    "input tokens at most fewer": (number("INPUT_TOKENS", max=999), set()),
    "output tokens": (number("OUTPUT_TOKENS", min=200, max=200), {"dear"}),
    "total tokens": (number("TOTAL_TOKENS", min=1200, max=1200), {"dear"}),
    "cost, in units of the currency": (number("COST", min=0.149, max=0.151), {"dear"}),
    "latency, in seconds": (number("LATENCY_SECONDS", min=2.4, max=2.6), {"dear"}),
    "time to first token, in seconds": (number("TIME_TO_FIRST_TOKEN_SECONDS", min=0.39, max=0.41), {"dear"}),
    "messages": (number("MESSAGES", min=7, max=7), {"dear"}),
    "bytes": (number("BYTES", min=5000, max=5000), {"dear"}),
    "words": (text("in the POT"), {"plain"}),
    "words, folded": (text("STRASSE"), {"long"}),
    "words, in their case": (text("warm", case_sensitive=True), set()),
    "words, in their own case": (text("WARM", case_sensitive=True), {"long"}),
    "words, not there": (text("tea", negate=True), USUAL - {"plain"}),
    "words of the system": (text("brief", roles=["ROLE_SYSTEM"]), {"long"}),
    "words of the developer": (text("metric", roles=["ROLE_DEVELOPER"]), {"long"}),
    "words of the user": (text("how far", roles=["ROLE_USER", "ROLE_SYSTEM"]), {"long"}),
    "words of a tool": (text("eighteen", roles=["ROLE_TOOL"]), {"long"}),
    "words of the assistant": (text("warm", roles=["ROLE_ASSISTANT"]), {"long"}),
    "words of somebody else": (text("brief", roles=["ROLE_USER", "ROLE_ASSISTANT", "ROLE_TOOL"]), set()),
    "words in arguments": (text("köln", roles=["ROLE_ASSISTANT"]), {"long"}),
    "everything together": (
        ExportFilter(models=["assistant"], has_media=True, numbers=[], methods=["Chat"]),
        {"media"},
    ),
    "nothing": (ExportFilter(), USUAL),
}


@pytest.fixture
def filled(writer, server):
    writer.write(Batch(entries=list(WORLD.values())))
    writer.write(Batch(feedback=JUDGEMENTS))
    return server


async def test_every_field_finds_what_it_says(filled):
    names = {entry.record.id: name for name, entry in WORLD.items()}
    wrong = {}
    for name, (asked, expected) in CASES.items():
        got = await filled.all(filter=asked, output=RECORDS)
        found = {names[bytes.fromhex(record.id.replace("-", ""))] for record in got.records}
        if found != expected:
            wrong[name] = (found - expected, expected - found)
    assert not wrong


def set_in(asked: Message) -> Iterator[tuple[str, str]]:
    """The fields that a message sets, of the messages within as well."""
    for field, value in asked.ListFields():
        yield field.containing_type.name, field.name
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            for inner in value if field.is_repeated else [value]:
                yield from set_in(inner)


def test_no_field_of_the_filter_is_without_a_case():
    messages = (ExportFilter, LabelCondition, FeedbackCondition, NumberCondition, TextCondition)
    fields = {(each.DESCRIPTOR.name, field.name) for each in messages for field in each.DESCRIPTOR.fields}
    told = {found for asked, _ in CASES.values() for found in set_in(asked)}
    assert fields - {("ExportFilter", name) for name in WINDOW} == {
        (of, name) for of, name in told if of != "Timestamp"
    }


def test_no_comparison_and_no_number_is_without_a_case():
    labels = {each.operator for asked, _ in CASES.values() for each in asked.labels}
    numbers = {each.field for asked, _ in CASES.values() for each in asked.numbers}
    assert labels == set(export_pb2.LabelOperator.values())
    assert numbers == set(export_pb2.NumberField.values()) - {export_pb2.NUMBER_FIELD_UNSPECIFIED}
