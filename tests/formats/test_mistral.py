"""mistral-common judges every line by its rules for fine-tuning, and its tokenizers take them."""

import json
import re
from itertools import product
from pathlib import Path

import mistral_common
import pytest
from jsonschema import Draft7Validator
from jsonschema.exceptions import SchemaError
from mistral_common.exceptions import MistralCommonException
from mistral_common.protocol.instruct.converters import convert_openai_messages, convert_openai_tools
from mistral_common.protocol.instruct.request import ChatCompletionRequest
from mistral_common.protocol.instruct.validator import (
    MistralRequestValidatorV3,
    MistralRequestValidatorV13,
    ValidationMode,
)
from mistral_common.tokens.tokenizers.base import SpecialTokenPolicy
from mistral_common.tokens.tokenizers.mistral import MistralTokenizer

from llmproxy_grpc.datasets.formats.draft7 import is_valid
from llmproxy_grpc.datasets.options import Format, ReasoningOutput
from llmproxy_grpc.messages import FunctionTool
from tests.fakes.examples import EVERY_SHAPE, PARALLEL_CALLS, REASONING, assistant, call, example, results, system, user

BOTH = {"parallel calls": PARALLEL_CALLS}
CALLS_ALONE = example(
    user("Weather?"),
    assistant(call("call_1"), call("abcdefgh9"), call("toolu_01A09q90qw90lq917835lq9")),
    results(("call_1", "1"), ("toolu_01A09q90qw90lq917835lq9", "3"), ("abcdefgh9", "2")),
    assistant(call("call_1")),
    results(("call_1", "4")),
    assistant("Fine."),
    tools=PARALLEL_CALLS.request.tools,
)


def requests(path):
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [
        ChatCompletionRequest(
            messages=convert_openai_messages(row["messages"]), tools=convert_openai_tools(row.get("tools") or [])
        )
        for row in rows
    ]


def validate(request, validator=MistralRequestValidatorV3):
    return validator(ValidationMode.finetuning).validate_request(request)


def test_every_line_is_valid_for_fine_tuning(write):
    path, names, reasons = write(Format.MISTRAL, {**EVERY_SHAPE, "calls": CALLS_ALONE})
    assert reasons == {
        "parallel calls": "text_beside_tool_call",
        "late system": "late_instructions",
        "half a character": "arguments_not_json",
        "dotted name": "tool_name_invalid",
    }
    for name, request in zip(names, requests(path), strict=True):
        assert validate(request), name


def test_what_is_left_out_would_have_been_refused(write):
    path, names, _ = write(Format.OPENAI_CHAT, BOTH)
    assert names
    (request,) = requests(path)
    with pytest.raises(MistralCommonException):
        validate(request)


def test_white_space_beside_a_call_is_no_text(write):
    spaced = example(user("W?"), assistant("\n\n", call("c")), results(("c", "1")), assistant("One."))
    path, names, reasons = write(Format.MISTRAL, {"spaced": spaced})
    assert (names, reasons) == (["spaced"], {})
    (request,) = requests(path)
    assert validate(request)
    assert not request.messages[1].content


LATE = {
    "behind the model": example(user("1?"), assistant("One."), system("Shorter."), user("2?"), assistant("Two.")),
    "behind a tool": example(
        user("W?"), assistant(call("abcdefgh9")), results(("abcdefgh9", "1")), system("Shorter."), assistant("Fine.")
    ),
}


@pytest.mark.parametrize("name", LATE)
def test_instructions_behind_the_model_or_a_tool_are_told_as_its_rules_refuse_them(write, name):
    path, _, _ = write(Format.OPENAI_CHAT, {name: LATE[name]})
    (request,) = requests(path)
    with pytest.raises(MistralCommonException, match="Unexpected role 'system'"):
        validate(request)
    assert write(Format.MISTRAL, {name: LATE[name]})[2] == {name: "late_instructions"}
    assert write(Format.MISTRAL, {name: LATE[name]}, drop_system=True)[1] == [name]


def test_a_call_at_the_beginning_is_told_as_its_rules_refuse_it(write):
    cut = {"cut": example(assistant(call("abcdefgh9")), results(("abcdefgh9", "1")), assistant("One."))}
    (request,) = requests(write(Format.OPENAI_CHAT, cut)[0])
    with pytest.raises(MistralCommonException, match="Not the same number"):
        validate(request)
    assert write(Format.MISTRAL, cut)[2] == {"cut": "first_not_user"}


def test_instructions_behind_the_user_are_kept_as_its_rules_allow_them(write):
    late = example(system("Be brief."), system("And kind."), user("1?"), system("Shorter."), assistant("One."))
    path, names, _ = write(Format.MISTRAL, {"late": late})
    (request,) = requests(path)
    assert names == ["late"]
    assert validate(request)


def test_ids_of_calls_are_nine_letters_and_digits_and_still_pair(write):
    path, _, _ = write(Format.MISTRAL, {"calls": CALLS_ALONE})
    messages = json.loads(path.read_text())["messages"]
    asked = [each["id"] for each in messages[1]["tool_calls"]]
    assert all(re.fullmatch("[a-zA-Z0-9]{9}", identifier) for identifier in asked)
    assert asked[1] == "abcdefgh9"
    assert [message["tool_call_id"] for message in messages[2:5]] == [asked[0], asked[2], asked[1]]
    assert messages[5]["tool_calls"][0]["id"] == messages[6]["tool_call_id"] == asked[0]


def test_the_same_id_gets_the_same_id_in_every_export(write):
    first = write(Format.MISTRAL, {"calls": CALLS_ALONE})[0].read_bytes()
    assert write(Format.MISTRAL, {"calls": CALLS_ALONE})[0].read_bytes() == first


def test_names_that_its_readers_refuse_are_told(write):
    odd = example(user("W?"), assistant(call("c", name="weather.now")))
    _, _, reasons = write(Format.MISTRAL, {"odd": odd})
    assert reasons == {"odd": "tool_name_invalid"}


SCHEMAS = {
    "older draft": '{"type":"object","properties":{"a":{"type":"string","required":true}}}',
    "no type": '{"type":"object","properties":{"a":{"type":"any"}}}',
    "no text": '{"type":"object","properties":{"a":{"description":null}}}',
    "no schema": '{"type":"object","properties":{"a":null}}',
    "no count": '{"type":"array","items":[{"minLength":1.5}]}',
    "no pattern": '{"anyOf":[{"pattern":"\\\\p{L}"}]}',
    "a name twice": '{"type":"object","required":["a","a"]}',
}


@pytest.mark.parametrize("name", SCHEMAS)
def test_schemas_that_its_reader_refuses_are_told(name, write):
    made = {name: example(user("W?"), assistant("Fine."), tools=(FunctionTool("weather", "", SCHEMAS[name]),))}
    (request,) = requests(write(Format.OPENAI_CHAT, made)[0])
    with pytest.raises(MistralCommonException, match="Invalid tool schema"):
        validate(request)
    assert write(Format.MISTRAL, made)[2] == {name: "tool_schema_invalid"}


def test_schemas_are_judged_as_its_reader_judges_them():
    """Each keyword with each kind of value, alone and in the schema of a property."""
    values = [None, True, -1, 0, 1.0, 1.5, "string", "(", [], ["a"], ["a", "a"], [True], {}, {"a": {}}, {"(": 1}]
    for keyword, value in product([*Draft7Validator.META_SCHEMA["properties"], "other"], values):
        for schema in ({keyword: value}, {"properties": {"a": {"items": {keyword: value}}}}):
            assert is_valid(json.dumps(schema).encode()) == judged(schema), schema


@pytest.mark.filterwarnings("error")
def test_a_pattern_that_may_mean_something_else_one_day_is_one():
    assert is_valid(b'{"pattern":"[[a]"}')


def judged(schema):
    try:
        Draft7Validator.check_schema(schema)
    except SchemaError:
        return False
    return True


def test_thinking_in_its_field_becomes_a_thought(write):
    path, _, _ = write(Format.MISTRAL, {"one": REASONING}, reasoning=ReasoningOutput.FIELD)
    (request,) = requests(path)
    assert validate(request, MistralRequestValidatorV13)
    assert request.messages[-1].content[0].thinking == "Two and two."


@pytest.mark.parametrize("name", ["tekken_240718.json", "tekken_240911.json"])
def test_its_tokenizers_take_the_lines(write, name):
    data = Path(mistral_common.__file__).parent / "data" / name
    tokenizer = MistralTokenizer.from_file(data, ValidationMode.finetuning)
    shapes = {name: made for name, made in EVERY_SHAPE.items() if name not in {"picture", "huge"}}
    path, names, _ = write(Format.MISTRAL, {**shapes, "calls": CALLS_ALONE})
    assert "odd text" in names
    for request, line in zip(requests(path), path.read_text().splitlines(), strict=True):
        tokens = tokenizer.encode_chat_completion(request).tokens
        text = tokenizer.decode(tokens, special_token_policy=SpecialTokenPolicy.KEEP)
        answer = json.loads(line)["messages"][-1]
        assert text.endswith("</s>")
        assert (answer["content"] or "[TOOL_CALLS]") in text
