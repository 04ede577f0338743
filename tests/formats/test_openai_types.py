"""The types of OpenAI's SDK read every message and tool of its formats."""

import json

import pytest
from msgspec.structs import replace
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam
from pydantic import TypeAdapter

from llmproxy_grpc.datasets.example import Pair
from llmproxy_grpc.datasets.options import Format
from llmproxy_grpc.messages import FunctionTool
from tests.fakes.examples import EVERY_SHAPE, PREFERENCE, assistant, call, example, user


@pytest.fixture(scope="module")
def check():
    messages = TypeAdapter(list[ChatCompletionMessageParam])
    tools = TypeAdapter(list[ChatCompletionToolParam])

    def checked(row):
        # Its lists are lazy iterators, which are read here to the end.
        for message in messages.validate_python(row["messages"]):
            list(message.get("tool_calls", []))
        tools.validate_python(row.get("tools", []))
        for message in row["messages"]:
            for asked in message.get("tool_calls", []):
                assert isinstance(json.loads(asked["function"]["arguments"]), dict)

    return checked


def test_every_line_has_messages_of_the_api(write, check):
    path, _, reasons = write(Format.OPENAI_CHAT, EVERY_SHAPE)
    assert reasons == {"half a character": "arguments_not_json", "dotted name": "tool_name_invalid"}
    for line in path.read_text().splitlines():
        row = json.loads(line)
        assert row.keys() <= {"messages", "tools", "parallel_tool_calls"}
        check(row)


def test_every_preference_has_one_message_a_side(write, check):
    paired = {name: replace(made, pair=PREFERENCE.pair) for name, made in EVERY_SHAPE.items()}
    path, _, reasons = write(Format.OPENAI_PREFERENCE, paired)
    assert reasons == {
        "picture": "media_not_supported",
        "dotted name": "tool_name_invalid",
    }
    for line in path.read_text().splitlines():
        row = json.loads(line)
        assert row.keys() == {"input", "preferred_output", "non_preferred_output"}
        check(row["input"])
        assert row["input"]["messages"][-1]["role"] in {"user", "tool"}
        for side in ("preferred_output", "non_preferred_output"):
            check({"messages": row[side]})
            assert [message["role"] for message in row[side]] == ["assistant"]


@pytest.mark.parametrize("name", ["weather.now", "my tool!", "x" * 65])
def test_names_that_fine_tuning_refuses_are_told(write, name):
    odd, good = assistant(call("a", name=name)), assistant("Good.")
    offered = example(user("W?"), assistant("x"), tools=(FunctionTool(name),))
    made = {
        "offered": replace(offered, pair=Pair(good, assistant("Bad."))),
        "called": replace(example(user("W?"), odd), pair=Pair(good, odd)),
    }
    for form in (Format.OPENAI_CHAT, Format.OPENAI_PREFERENCE):
        assert write(form, made)[2] == dict.fromkeys(made, "tool_name_invalid")
