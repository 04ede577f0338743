"""botocore checks every line against the shape of a Converse request."""

import json
import re

import pytest
from botocore.session import Session
from botocore.validate import ParamValidator

from llmproxy_grpc.datasets.options import Format, ReasoningOutput
from llmproxy_grpc.messages import FunctionTool, MediaKind, MediaPart, Message, Role, TextPart, ToolResultPart
from tests.fakes.examples import (
    EVERY_SHAPE,
    LONG_NUMBER,
    MULTI_TURN,
    PARALLEL_CALLS,
    PICTURE,
    REASONING,
    TWO_USERS,
    assistant,
    call,
    developer,
    example,
    results,
    system,
    user,
)


@pytest.fixture(scope="module")
def objections():
    service = Session().get_service_model("bedrock-runtime", api_version="2023-09-30")
    shape = service.operation_model("Converse").input_shape

    def found(row):
        request = {"modelId": "amazon.nova-lite-v1:0", **row}
        assert request.pop("schemaVersion") == "bedrock-conversation-2024"
        return ParamValidator().validate(request, shape).generate_report()

    return found


def alternates(row):
    roles = [message["role"] for message in row["messages"]]
    return roles == ["user", "assistant"] * (len(roles) // 2)


def test_every_line_is_a_converse_request_that_alternates(write, objections):
    path, names, reasons = write(Format.BEDROCK_CONVERSE, EVERY_SHAPE, reasoning=ReasoningOutput.FIELD)
    assert reasons == {
        "two users": "consecutive_turns",
        "a key twice": "duplicate_keys",
        "picture": "media_not_supported",
        "late system": "late_instructions",
        "half a character": "arguments_not_json",
        "dotted name": "tool_name_invalid",
    }
    for name, line in zip(names, path.read_text().splitlines(), strict=True):
        row = json.loads(line)
        assert objections(row) == "", name
        assert alternates(row), name


def test_blank_texts_which_bedrock_refuses_are_left_out(write, objections):
    stored = MediaPart(kind=MediaKind.IMAGE, uri="s3://bucket/a.png", media_type="image/png")
    path, _, reasons = write(
        Format.BEDROCK_CONVERSE,
        {
            "call": example(user("W?"), assistant("\n\n", call("a"))),
            "picture": example(user(" ", stored, ""), assistant("A pixel.")),
        },
    )
    assert reasons == {}
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [objections(row) for row in rows] == ["", ""]
    assert [list(block) for block in rows[0]["messages"][1]["content"]] == [["toolUse"]]
    assert [list(block) for block in rows[1]["messages"][0]["content"]] == [["image"]]


def test_turns_of_one_side_are_one_turn_if_asked_for(write, objections):
    made = example(
        system("Be brief."),
        developer("Be kind."),
        user("W?"),
        assistant(call("a")),
        results(("a", "1")),
        user("And?"),
        assistant("x"),
    )
    assert write(Format.BEDROCK_CONVERSE, {"one": made})[2] == {"one": "consecutive_turns"}
    path, names, _ = write(Format.BEDROCK_CONVERSE, {"one": made, "two": TWO_USERS}, merge_turns=True)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert names == ["one", "two"]
    assert all(objections(row) == "" and alternates(row) for row in rows)
    assert rows[0]["system"] == [{"text": "Be brief.\n\nBe kind."}]
    assert [list(block) for block in rows[0]["messages"][2]["content"]] == [["toolResult"], ["text"]]


def test_results_stand_together_in_the_order_of_their_calls(write):
    path, _, _ = write(Format.BEDROCK_CONVERSE, {"one": PARALLEL_CALLS})
    assert b'"input":' + LONG_NUMBER.replace("\n", " ").encode() in path.read_bytes()
    blocks = json.loads(path.read_text())["messages"][2]["content"]
    assert [block["toolResult"]["toolUseId"] for block in blocks] == ["call_1", "call_2"]
    assert blocks[0]["toolResult"] == {"toolUseId": "call_1", "content": [{"text": "warm"}], "status": "success"}


def test_a_failed_tool_says_so(write, objections):
    failed = Message(Role.TOOL, (ToolResultPart(tool_call_id="a", content=(TextPart(text="down"),), is_error=True),))
    path, _, _ = write(
        Format.BEDROCK_CONVERSE, {"one": example(user("W?"), assistant(call("a")), failed, assistant("x"))}
    )
    row = json.loads(path.read_text())
    assert objections(row) == ""
    assert row["messages"][2]["content"][0]["toolResult"]["status"] == "error"


def test_thinking_is_a_block_of_its_own_or_tags(write):
    path, _, _ = write(Format.BEDROCK_CONVERSE, {"one": REASONING}, reasoning=ReasoningOutput.FIELD)
    content = json.loads(path.read_text())["messages"][1]["content"]
    assert content == [{"reasoningContent": {"reasoningText": {"text": "Two and two."}}}, {"text": "4"}]
    path, _, _ = write(Format.BEDROCK_CONVERSE, {"one": REASONING}, reasoning=ReasoningOutput.THINK_TAGS)
    assert json.loads(path.read_text())["messages"][1]["content"] == [{"text": "<think>\nTwo and two.\n</think>\n\n4"}]


@pytest.mark.parametrize(
    ("kind", "media_type", "key"),
    [(MediaKind.IMAGE, "image/png", "image"), (MediaKind.VIDEO, "video/mp4; codecs=avc1", "video")],
)
def test_files_are_taken_from_s3(write, objections, kind, media_type, key):
    far = MediaPart(kind=kind, uri="s3://bucket/a", media_type=media_type)
    path, _, _ = write(Format.BEDROCK_CONVERSE, {"one": example(user("Look.", far), assistant("Seen."))})
    row = json.loads(path.read_text())
    assert objections(row) == ""
    assert row["messages"][0]["content"][1][key]["source"] == {"s3Location": {"uri": "s3://bucket/a"}}


def test_the_model_does_not_begin_and_instructions_do_not_come_late(write):
    _, _, reasons = write(
        Format.BEDROCK_CONVERSE,
        {
            "model first": example(assistant("Hello."), user("Hi."), assistant("So?")),
            "late": example(user("Hi."), assistant("So?"), system("Be brief."), user("Hm."), assistant("Yes.")),
            "nobody asked": example(system("Speak."), assistant("Yes.")),
            "inline": PICTURE,
            "unknown type": example(
                user(MediaPart(kind=MediaKind.IMAGE, uri="s3://b/a", media_type="image/tiff")), assistant("Seen.")
            ),
        },
    )
    assert reasons == {
        "model first": "first_not_user",
        "late": "late_instructions",
        "nobody asked": "first_not_user",
        "inline": "media_not_supported",
        "unknown type": "media_not_supported",
    }
    assert write(Format.BEDROCK_CONVERSE, {"several": MULTI_TURN})[2] == {}


@pytest.mark.parametrize("name", ["weather.now", "my tool!", "x" * 65, ""])
def test_names_that_bedrock_refuses_are_told(write, name):
    offered = example(user("W?"), assistant("x"), tools=(FunctionTool(name),))
    called = example(user("W?"), assistant(call("a", name=name)))
    _, _, reasons = write(Format.BEDROCK_CONVERSE, {"offered": offered, "called": called})
    assert reasons == {"offered": "tool_name_invalid", "called": "tool_name_invalid"}


def test_ids_that_bedrock_refuses_are_others_and_still_pair(write):
    long, odd = "x" * 200, "call|1 \u00e9"
    made = example(
        user("W?"),
        assistant(call(long), call(odd), call("toolu_01.a:b-c")),
        results((odd, "2"), (long, "1"), ("toolu_01.a:b-c", "3")),
        assistant(call(long)),
        results((long, "4")),
        assistant("Fine."),
    )
    path, names, _ = write(Format.BEDROCK_CONVERSE, {"one": made})
    first = path.read_bytes()
    messages = json.loads(first)["messages"]
    asked = [[block["toolUse"]["toolUseId"] for block in messages[place]["content"]] for place in (1, 3)]
    answered = [[block["toolResult"]["toolUseId"] for block in messages[place]["content"]] for place in (2, 4)]
    assert names == ["one"]
    assert asked == answered
    assert asked[0][2] == "toolu_01.a:b-c"
    every = [*asked[0], *asked[1]]
    assert all(re.fullmatch("[a-zA-Z0-9_.:-]{1,64}", identifier) for identifier in every)
    assert len(set(every)) == 4
    assert write(Format.BEDROCK_CONVERSE, {"one": made})[0].read_bytes() == first


def test_tools_that_were_called_are_offered_where_the_caller_offered_none(write, objections):
    made = example(
        user("W?"), assistant(call("a"), call("b", name="time")), results(("a", "1"), ("b", "2")), assistant("x")
    )
    path, _, _ = write(Format.BEDROCK_CONVERSE, {"one": made, "none": MULTI_TURN})
    row, plain = [json.loads(line) for line in path.read_text().splitlines()]
    assert objections(row) == ""
    assert [tool["toolSpec"]["name"] for tool in row["toolConfig"]["tools"]] == ["weather", "time"]
    assert "toolConfig" not in plain
