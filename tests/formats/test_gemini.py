"""google-genai's own types read every line."""

import json

import pytest
from google.genai import types

from llmproxy_grpc.datasets.options import Format, ReasoningOutput
from llmproxy_grpc.messages import FunctionTool, MediaKind, MediaPart, Message, Role, TextPart, ToolResultPart
from tests.fakes.examples import (
    EVERY_SHAPE,
    LONG_NUMBER,
    PARALLEL_CALLS,
    PICTURE,
    REASONING,
    assistant,
    call,
    example,
    results,
    user,
)


def read(line):
    row = json.loads(line)
    instruction = row.pop("systemInstruction", None)
    tools = row.pop("tools", [])
    contents = row.pop("contents")
    assert row == {}
    if instruction is not None:
        types.Content.model_validate(instruction)
    for tool in tools:
        types.Tool.model_validate(tool)
    return [types.Content.model_validate(content) for content in contents]


def test_every_line_is_made_of_contents_that_alternate(write):
    path, names, reasons = write(Format.GEMINI, EVERY_SHAPE, reasoning=ReasoningOutput.FIELD)
    assert reasons == {
        "two users": "consecutive_turns",
        "a key twice": "duplicate_keys",
        "picture": "media_not_supported",
        "late system": "late_instructions",
        "half a character": "arguments_not_json",
    }
    for name, line in zip(names, path.read_text().splitlines(), strict=True):
        roles = [content.role for content in read(line)]
        assert roles == ["user", "model"] * (len(roles) // 2), name


def test_calls_and_results_are_objects_and_the_numbers_keep_their_digits(write):
    path, _, _ = write(Format.GEMINI, {"one": PARALLEL_CALLS})
    assert b'"args":' + LONG_NUMBER.replace("\n", " ").encode() in path.read_bytes()
    contents = read(path.read_text())
    assert [part.function_call.name for part in contents[1].parts[1:]] == ["weather", "weather"]
    assert [part.function_response.response for part in contents[2].parts] == [{"output": "warm"}, {"output": "cold"}]


@pytest.mark.parametrize("number", ["1e400", "9" * 400])
def test_arguments_that_no_reader_can_send_on_are_left_out_where_they_are_objects(write, number):
    odd = example(user("W?"), assistant(call("a", f'{{"n":{number}}}')))
    for form in (Format.GEMINI, Format.BEDROCK_CONVERSE):
        assert write(form, {"odd": odd})[2] == {"odd": "arguments_not_json"}
    assert write(Format.OPENAI_CHAT, {"odd": odd})[1] == ["odd"]


def test_a_result_that_is_an_object_stays_one_and_a_failure_says_so(write):
    failed = Message(Role.TOOL, (ToolResultPart(tool_call_id="a", content=(TextPart(text='{"a":1}'),), is_error=True),))
    made = {
        "object": example(user("W?"), assistant(call("a")), results(("a", '{"t": 1.50}')), assistant("x")),
        "list": example(user("W?"), assistant(call("a")), results(("a", "[1]")), assistant("x")),
        "twice": example(user("W?"), assistant(call("a")), results(("a", '{"t":1,"t":2}')), assistant("x")),
        "failed": example(user("W?"), assistant(call("a")), failed, assistant("x")),
    }
    path, _, _ = write(Format.GEMINI, made)
    assert b'"response":{"t": 1.50}' in path.read_bytes()
    said = [read(line)[2].parts[0].function_response.response for line in path.read_text().splitlines()]
    assert said == [{"t": 1.5}, {"output": "[1]"}, {"output": '{"t":1,"t":2}'}, {"error": '{"a":1}'}]


def test_thinking_is_a_part_that_says_so(write):
    path, _, _ = write(Format.GEMINI, {"one": REASONING}, reasoning=ReasoningOutput.FIELD)
    thought, text = read(path.read_text())[1].parts
    assert (thought.thought, thought.text, text.text) == (True, "Two and two.", "4")


def test_files_are_taken_from_cloud_storage(write):
    far = MediaPart(kind=MediaKind.AUDIO, uri="gs://bucket/a.wav", media_type="audio/wav")
    untyped = MediaPart(kind=MediaKind.AUDIO, uri="gs://bucket/a.wav")
    web = MediaPart(kind=MediaKind.IMAGE, uri="https://example.com/a.png", media_type="image/png")
    made = {
        name: example(user("Hear.", part), assistant("Yes."))
        for name, part in (("far", far), ("untyped", untyped), ("web", web))
    }
    path, names, reasons = write(Format.GEMINI, {**made, "inline": PICTURE})
    assert names == ["far"]
    assert set(reasons.values()) == {"media_not_supported"}
    assert read(path.read_text())[0].parts[1].file_data.file_uri == "gs://bucket/a.wav"


def test_a_result_has_the_name_of_the_call_before_it_where_ids_come_again(write):
    turns = [(assistant(call("0", name=name)), results(("0", name))) for name in ("weather", "time")]
    path, _, _ = write(Format.GEMINI, {"one": example(user("W?"), *turns[0], *turns[1], assistant("Fine."))})
    answers = [part.function_response for content in read(path.read_text()) for part in content.parts]
    assert [(answer.name, answer.response["output"]) for answer in answers if answer] == [
        ("weather", "weather"),
        ("time", "time"),
    ]


def test_texts_that_say_nothing_which_vertex_refuses_are_left_out(write):
    stored = MediaPart(kind=MediaKind.IMAGE, uri="gs://bucket/a.png", media_type="image/png")
    path, _, _ = write(Format.GEMINI, {"one": example(user("", stored, "What?"), assistant("A pixel."))})
    picture, text = read(path.read_text())[0].parts
    assert (picture.file_data.file_uri, text.text) == ("gs://bucket/a.png", "What?")


PLAIN_SCHEMAS = {
    "texts": {"type": "object", "properties": {"city": {"type": "string", "enum": ["Rome"]}}, "required": ["city"]},
    "lists": {"type": "object", "properties": {"a": {"type": "array", "items": {"type": "integer"}, "minItems": 1}}},
    "nothing": {"type": "object", "properties": {}},
}
FULL_SCHEMAS = {
    "several types": {"type": "object", "properties": {"a": {"type": ["string", "null"]}}},
    "const": {"type": "object", "properties": {"a": {"type": "string", "const": "x"}}},
    "$schema": {"$schema": "http://json-schema.org/draft-07/schema#", "type": "object", "properties": {}},
    "oneOf": {"type": "object", "properties": {"a": {"oneOf": [{"type": "string"}, {"type": "integer"}]}}},
    "$ref": {"type": "object", "properties": {"a": {"$ref": "#/$defs/a"}}, "$defs": {"a": {"type": "string"}}},
    "exclusiveMinimum": {"type": "object", "properties": {"a": {"type": "integer", "exclusiveMinimum": 0}}},
    "enumerated numbers": {"type": "object", "properties": {"a": {"type": "integer", "enum": [1, 2]}}},
    "true": {"type": "object", "properties": {"a": True}},
    "no type": {"properties": {"a": {"type": "string"}}},
}


@pytest.mark.parametrize(
    ("schema", "field"),
    [(schema, "parameters") for schema in PLAIN_SCHEMAS.values()]
    + [(schema, "parametersJsonSchema") for schema in FULL_SCHEMAS.values()],
    ids=[*PLAIN_SCHEMAS, *FULL_SCHEMAS],
)
def test_a_schema_stands_where_it_can_be_read(write, schema, field):
    tool = FunctionTool("weather", "", json.dumps(schema))
    path, _, _ = write(Format.GEMINI, {"one": example(user("W?"), assistant(call("a")), tools=(tool,))})
    line = path.read_text()
    assert read(line)
    [declaration] = json.loads(line)["tools"][0]["functionDeclarations"]
    assert declaration == {"name": "weather", field: schema}


@pytest.mark.parametrize(
    ("name", "taken"), [("weather.now:v-1", True), ("my tool!", False), ("1st", False), ("x" * 129, False)]
)
def test_names_that_gemini_refuses_are_told(write, name, taken):
    made = {
        "offered": example(user("W?"), assistant("x"), tools=(FunctionTool(name),)),
        "called": example(user("W?"), assistant(call("a", name=name))),
    }
    _, _, reasons = write(Format.GEMINI, made)
    assert reasons == ({} if taken else dict.fromkeys(made, "tool_name_invalid"))
