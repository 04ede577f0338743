"""Odd values come back as they were through the library that reads each format: nothing that a line holds is lost.

The other tests of this folder ask whether a line is taken; these ask what was read.
"""

import json
from base64 import b64encode

import pytest
from botocore.serialize import create_serializer
from botocore.session import Session
from google.protobuf import json_format
from msgspec.structs import replace
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam
from pydantic import TypeAdapter
from trl.data_utils import apply_chat_template

from llmproxy_grpc._gen.v1 import export_pb2
from llmproxy_grpc.datasets.example import Pair
from llmproxy_grpc.datasets.options import Format, ReasoningOutput
from llmproxy_grpc.messages import FunctionTool, MediaKind, MediaPart, ReasoningPart
from tests.fakes.examples import (
    DEVELOPER,
    PIXEL,
    TWO_USERS,
    assistant,
    call,
    example,
    results,
    system,
    user,
)
from tests.formats import test_gemini, test_llamafactory, test_mistral
from tests.formats.test_trl import tokenizer  # noqa: F401 - a fixture

ODD = "a\u2028b\u2029c\u0085d\x00e\r\nf\u00e9\U0001f600\x1c\x0b\x0c"
DIGITS = "123456789012345678901234567890"
ARGUMENTS = '{"t":"a\u2028b\u0085c\\u0000\\u2028d","n":' + DIGITS + ',"f":1.10}'
LARGE = "h\u00e4\u2028 \n" * (2 * 1024 * 1024 // 8)
"""Of 2 MiB."""
SCHEMA = (
    '{"type":"object","properties":{"t":{"type":"string","description":"x\u2028y\\u0000"},'
    f'"n":{{"type":"number","maximum":{DIGITS}}}}}}}'
)
TOOL = FunctionTool("weather", "Tells\u2028the\u0085weather.", SCHEMA)
THOUGHT = ReasoningPart(text=f"Hm{ODD}")
ASKED = assistant(call("call_1", ARGUMENTS), call("call_2", '{"t":"x"}'))
TWO_CALLS = example(user("W?"), ASKED, results(("call_1", ODD), ("call_2", "2")), assistant("Fine."), tools=(TOOL,))

TEXTS = example(system(f"S{ODD}."), user(f"U{ODD}."), assistant(f"A{ODD}."))
LONG = example(user(f"U{LARGE}."), assistant(f"A{LARGE}."))
CALLS = replace(TWO_CALLS, pair=Pair(assistant("Good."), assistant("Bad.")))
SIDES = {
    "texts": Pair(assistant(f"A{ODD}."), assistant(f"B{ODD}.")),
    "large": Pair(assistant(f"A{LARGE}."), assistant("Bad.")),
    "calls": Pair(ASKED, assistant(call("call_1", ARGUMENTS.replace("1.10", "1.2")))),
    "thinking": Pair(assistant(THOUGHT, "Good."), assistant("Bad.")),
}
WITHOUT_A_FIELD = {Format.SHAREGPT, Format.ALPACA, Format.OPENAI_CHAT}
"""Of thinking; OpenAI's types pass over the one that is written."""
PAIRED = (Format.OPENAI_PREFERENCE, Format.TRL_PREFERENCE)
FORMS = [form for form in Format if form is not Format.CSV]


def by_openai(row):
    messages, tools = TypeAdapter(list[ChatCompletionMessageParam]), TypeAdapter(list[ChatCompletionToolParam])
    row = {**row, **row.get("input", {})}
    sides = [row[side] for side in ("messages", "preferred_output", "non_preferred_output") if side in row]
    read = [message for side in sides for message in messages.validate_python(side)]
    return [[at_once(message) for message in read], tools.validate_python(row.get("tools", []))]


def at_once(message):
    """Its lists are lazy iterators."""
    values = message.items()
    return {name: value if isinstance(value, str | None) else list(value) for name, value in values}


def by_botocore(row):
    model = Session().get_service_model("bedrock-runtime", api_version="2023-09-30").operation_model("Converse")
    request = {"modelId": "m", **{name: value for name, value in row.items() if name != "schemaVersion"}}
    return json.loads(create_serializer("rest-json").serialize_to_request(request, model)["body"])


def by_google(row):
    contents = [each.model_dump() for each in test_gemini.read(json.dumps(row))]
    return [contents, row.get("systemInstruction"), row.get("tools")]  # which that looks at, and does not give


def by_protobuf(row):
    return json_format.MessageToDict(json_format.ParseDict(row, export_pb2.ExportRecord()))


@pytest.fixture
def read(tokenizer):  # noqa: F811 - the fixture
    """Reads a file of a format as its library does; gives a nest of values for each line."""

    def by_a_template(row):
        return apply_chat_template(row, tokenizer, tools=row.get("tools"))

    readers = {
        Format.OPENAI_CHAT: by_openai,
        Format.OPENAI_PREFERENCE: by_openai,
        Format.GEMINI: by_google,
        Format.BEDROCK_CONVERSE: by_botocore,
        Format.FULL_JSON: by_protobuf,
    }

    def reading(path, form):
        if form in {Format.SHAREGPT, Format.ALPACA}:
            return test_llamafactory.read(path, getattr(test_llamafactory, form.name))
        if form is Format.MISTRAL:
            return [request.model_dump() for request in test_mistral.requests(path)]
        lines = path.read_bytes().decode().splitlines()
        return [readers.get(form, by_a_template)(json.loads(line)) for line in lines]

    return reading


def said(value):
    """All texts and numbers of a nest of values, as one text."""
    if isinstance(value, dict):
        return "\n".join(map(said, value.values()))
    if isinstance(value, list | tuple):
        return "\n".join(map(said, value))
    return value if isinstance(value, str) else f"{value:f}" if isinstance(value, float) else str(value)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_odd_and_long_texts_come_back_as_they_were(form, write, read):
    made = {
        "texts": replace(TEXTS, pair=SIDES["texts"], label=True),
        "large": replace(LONG, pair=SIDES["large"], label=True),
    }
    path, _, reasons = write(form, made)
    assert reasons == {}
    texts, large = map(said, read(path, form))
    assert all(f"{place}{ODD}." in texts for place in ("S", "U", "A"))
    assert f"U{LARGE}." in large
    assert f"A{LARGE}." in large


@pytest.mark.timeout(180)
@pytest.mark.parametrize("form", [form for form in FORMS if form is not Format.ALPACA], ids=lambda form: form.name)
def test_parallel_calls_and_their_results_come_back_with_every_digit(form, write, read):
    path, _, reasons = write(form, {"calls": replace(CALLS, label=True)})
    assert reasons == {}
    (row,) = map(said, read(path, form))
    assert row.count("weather") >= 3
    assert ODD in row
    if form not in {Format.GEMINI, Format.BEDROCK_CONVERSE, Format.SHAREGPT}:
        assert ARGUMENTS in row  # text, to the byte
    assert row.count(DIGITS) >= 2
    assert any(text in row for text in ("x\u2028y\0", "x\u2028y\\u0000", "x\\u2028y\\u0000"))


@pytest.mark.timeout(180)
@pytest.mark.parametrize("form", PAIRED, ids=lambda form: form.name)
def test_the_sides_of_a_pair_come_back_as_they_were(form, write, read):
    asked = replace(TEXTS, request=replace(TEXTS.request, tools=(TOOL,)))
    made = {name: replace(asked, pair=pair) for name, pair in SIDES.items()}
    path, _, reasons = write(form, made, reasoning=ReasoningOutput.THINK_TAGS)
    assert reasons == {}
    texts, large, calls, thinking = map(said, read(path, form))
    assert f"A{ODD}." in texts
    assert f"B{ODD}." in texts
    assert f"A{LARGE}." in large
    assert ARGUMENTS in calls
    assert ARGUMENTS.replace("1.10", "1.2") in calls
    assert f"<think>\nHm{ODD}\n</think>\n\nGood." in thinking


@pytest.mark.timeout(180)
@pytest.mark.parametrize("how", [ReasoningOutput.FIELD, ReasoningOutput.THINK_TAGS], ids=lambda how: how.name)
@pytest.mark.parametrize("form", [form for form in FORMS if form not in PAIRED], ids=lambda form: form.name)
def test_odd_thinking_comes_back_as_it_was(form, how, write, read):
    thinking = replace(example(user("2+2?"), assistant(THOUGHT, "4")), label=True)
    path, _, reasons = write(form, {"one": thinking}, **({} if form is Format.FULL_JSON else {"reasoning": how}))
    assert reasons == {}
    (row,) = map(said, read(path, form))
    assert (THOUGHT.text in row) is not (form in WITHOUT_A_FIELD and how is ReasoningOutput.FIELD)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_the_developer_and_users_in_a_row_come_back(form, write, read):
    made = {
        name: replace(each, pair=Pair(assistant("Hi."), assistant("No.")), label=True)
        for name, each in (("developer", DEVELOPER), ("users", TWO_USERS))
    }
    path, _, reasons = write(form, made, **({} if form is Format.FULL_JSON else {"merge_turns": True}))
    assert reasons == {}
    developer, users = map(said, read(path, form))
    assert "Be brief." in developer
    assert all(text in users for text in ("Hello?", "Anybody?", "Hi."))


@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("form", "picture"),
    [
        (Format.OPENAI_CHAT, {"data": PIXEL}),
        (Format.TRL_PROMPT_COMPLETION, {"data": PIXEL}),
        (Format.TRL_PREFERENCE, {"data": PIXEL}),
        (Format.TRL_KTO, {"data": PIXEL}),
        (Format.MISTRAL, {"data": PIXEL}),
        (Format.FULL_JSON, {"data": PIXEL}),
        (Format.GEMINI, {"uri": "gs://bucket/x.png"}),
        (Format.BEDROCK_CONVERSE, {"uri": "s3://bucket/x.png"}),
    ],
    ids=lambda value: value.name if isinstance(value, Format) else "",
)
def test_pictures_come_back_beside_odd_texts(form, picture, write, read):
    part = MediaPart(kind=MediaKind.IMAGE, media_type="image/png", **picture)
    shown = example(user(f"U{ODD}.", part, "Say it."), assistant("A pixel."))
    path, _, reasons = write(form, {"one": replace(shown, pair=SIDES["texts"], label=True)})
    assert reasons == {}
    (row,) = map(said, read(path, form))
    assert f"U{ODD}." in row
    assert picture.get("uri") or b64encode(PIXEL).decode() in row
    assert picture.get("uri", "") in row
