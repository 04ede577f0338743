"""Every format and every option of the output, as they leave by the API."""

import pytest

from llmproxy_grpc._gen.v1 import content_pb2
from llmproxy_grpc._gen.v1 import export_pb2 as pb
from llmproxy_grpc.records.record import FeedbackKind
from llmproxy_grpc.records.store import Batch
from tests.fakes.exports import an_exchange, message, refused, selected
from tests.fakes.records import a_judgement

SYSTEM, USER = message("system", "Be brief."), message("user", "Two and two?")
ANSWER = content_pb2.Message(
    role=content_pb2.ROLE_ASSISTANT,
    parts=[{"reasoning": {"text": "Easy."}}, {"text": "4"}],
)
BETTER = message("assistant", "Four.")
LABELLED = pb.PreferencePairs(feedback_name="helpful")

_SYSTEM = {"role": "system", "content": "Be brief."}
_USER = {"role": "user", "content": "Two and two?"}
_ANSWER = {"role": "assistant", "content": "4"}
_BETTER = {"role": "assistant", "content": "Four."}
LINES = {
    "OPENAI_CHAT": {"messages": [_SYSTEM, _USER, _ANSWER]},
    "OPENAI_PREFERENCE": {
        "input": {"messages": [_SYSTEM, _USER]},
        "preferred_output": [_BETTER],
        "non_preferred_output": [_ANSWER],
    },
    "TRL_PROMPT_COMPLETION": {"prompt": [_SYSTEM, _USER], "completion": [_ANSWER]},
    "TRL_PREFERENCE": {"prompt": [_SYSTEM, _USER], "chosen": [_BETTER], "rejected": [_ANSWER]},
    "TRL_KTO": {"prompt": [_SYSTEM, _USER], "completion": [_ANSWER], "label": True},
    "SHAREGPT": {
        "conversations": [
            {"from": "system", "value": "Be brief."},
            {"from": "human", "value": "Two and two?"},
            {"from": "gpt", "value": "4"},
        ],
        "tools": "",
    },
    "ALPACA": {"instruction": "Two and two?", "input": "", "output": "4", "system": "Be brief.", "history": []},
    "GEMINI": {
        "systemInstruction": {"role": "system", "parts": [{"text": "Be brief."}]},
        "contents": [
            {"role": "user", "parts": [{"text": "Two and two?"}]},
            {"role": "model", "parts": [{"text": "4"}]},
        ],
    },
    "BEDROCK_CONVERSE": {
        "schemaVersion": "bedrock-conversation-2024",
        "system": [{"text": "Be brief."}],
        "messages": [
            {"role": "user", "content": [{"text": "Two and two?"}]},
            {"role": "assistant", "content": [{"text": "4"}]},
        ],
    },
    "MISTRAL": {"messages": [_SYSTEM, _USER, _ANSWER]},
}
OTHERS = {"RECORDS", "FULL_JSON", "CSV"}
"""What tells all that was recorded, or its figures; they have tests of their own."""


def form_of(name):
    return pb.ExportFormat.Value(f"EXPORT_FORMAT_{name}")


def test_no_format_of_the_api_is_forgotten():
    assert {name.removeprefix("EXPORT_FORMAT_") for name in pb.ExportFormat.keys()} == {  # noqa: SIM118 - no dict
        "UNSPECIFIED",
        *LINES,
        *OTHERS,
    }


@pytest.mark.parametrize("name", LINES)
async def test_each_format_has_its_line(server, writer, name):
    entry = an_exchange(SYSTEM, USER, ANSWER)
    better = BETTER.SerializeToString()
    shown = a_judgement(entry.record.id, kind=FeedbackKind.DEMONSTRATION, number=None, content=better)
    writer.write(Batch(entries=[entry], feedback=[shown, a_judgement(entry.record.id)]))
    got = await selected(server, pb.ExportOutput(format=form_of(name)), pairs=LABELLED)
    assert got.lines == [LINES[name]]


THOUGHT = "<think>\nEasy.\n</think>\n\n4"
OPTIONS = {
    "reasoning in a field": (
        {"reasoning": pb.REASONING_OUTPUT_FIELD},
        [_SYSTEM, _USER, {**_ANSWER, "reasoning_content": "Easy."}],
    ),
    "reasoning in tags": (
        {"reasoning": pb.REASONING_OUTPUT_THINK_TAGS},
        [_SYSTEM, _USER, {**_ANSWER, "content": THOUGHT}],
    ),
    "demonstration": ({"prefer_demonstration": True}, [_SYSTEM, _USER, _BETTER]),
    "no system": ({"drop_system": True}, [_USER, _ANSWER]),
    "merged turns": ({"merge_turns": True}, [_SYSTEM, {**_USER, "content": "Two and two?\n\nPlease."}, _ANSWER]),
}


@pytest.mark.parametrize("name", OPTIONS)
async def test_each_option_changes_the_line(server, writer, name):
    options, messages = OPTIONS[name]
    asked = [USER, message("user", "Please.")] if "merge_turns" in options else [USER]
    entry = an_exchange(SYSTEM, *asked, ANSWER)
    better = BETTER.SerializeToString()
    shown = a_judgement(entry.record.id, kind=FeedbackKind.DEMONSTRATION, number=None, content=better)
    writer.write(Batch(entries=[entry], feedback=[shown]))
    got = await selected(server, pb.ExportOutput(format=pb.EXPORT_FORMAT_OPENAI_CHAT, **options))
    assert got.lines == [{"messages": messages}]


TELLS_ALL = ("reasoning", "prefer_demonstration", "drop_system", "merge_turns")
REFUSED = {
    "RECORDS": (*TELLS_ALL, "compression", "redaction.mode", "max_tokens_per_record"),
    "FULL_JSON": TELLS_ALL,
    "CSV": TELLS_ALL,
    "SHAREGPT": ("reasoning",),
    "ALPACA": ("reasoning",),
    "TRL_PREFERENCE": ("prefer_demonstration",),
    "OPENAI_PREFERENCE": ("prefer_demonstration",),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_options_that_a_format_has_no_use_for_are_refused_by_name(server, name):
    every_option = pb.ExportOutput(
        format=form_of(name),
        reasoning=pb.REASONING_OUTPUT_FIELD,
        redaction=pb.Redaction(mode=pb.REDACTION_MODE_MASK),
        prefer_demonstration=True,
        drop_system=True,
        merge_turns=True,
        max_tokens_per_record=1,
        compression=pb.EXPORT_COMPRESSION_GZIP,
    )
    told = (await refused(server, output=every_option)).removeprefix("The request is not valid: ").rstrip(".")
    assert sorted(told.split(", ")) == sorted(f"output.{option}" for option in REFUSED[name])


@pytest.mark.parametrize(
    ("name", "turns", "reason"),
    [
        ("TRL_PROMPT_COMPLETION", [USER, message("assistant", "It is"), ANSWER], "no_question"),
        ("SHAREGPT", [USER, message("user", "Please."), ANSWER], "consecutive_turns"),
        ("GEMINI", [message("assistant", "Hello."), USER, ANSWER], "first_not_user"),
        ("MISTRAL", [USER, ANSWER, SYSTEM, USER, ANSWER], "late_instructions"),
    ],
)
async def test_what_a_format_cannot_say_is_counted_by_its_reason(server, writer, name, turns, reason):
    writer.write(Batch(entries=[an_exchange(*turns)]))
    got = await selected(server, pb.ExportOutput(format=form_of(name)))
    assert (got.lines, dict(got.summary.skipped_records)) == ([], {reason: 1})
