import json

import pytest
from msgspec.structs import replace

from llmproxy_grpc.datasets.formats import render
from llmproxy_grpc.datasets.formats.ready_line import check
from llmproxy_grpc.datasets.options import AS_RECORDED, Format, Options, ReasoningOutput
from llmproxy_grpc.datasets.skipping import Skipped, SkipReason
from llmproxy_grpc.messages import (
    FunctionTool,
    MediaDetail,
    MediaKind,
    MediaPart,
    OpaquePart,
    ProviderTool,
    ReasoningPart,
    RefusalPart,
    Role,
    ToolChoice,
)
from tests.fakes.examples import (
    COUNTED,
    DEVELOPER,
    ENDS_ON_CALL,
    EVERY_SHAPE,
    HUGE,
    LONG_NUMBER,
    MULTI_TURN,
    ODD_TEXT,
    PARALLEL_CALLS,
    PICTURE,
    PLAIN,
    REASONING,
    TWO_USERS,
    WEATHER,
    assistant,
    call,
    example,
    results,
    said,
    system,
    user,
    with_choice,
)


def chat(made, **options):
    line = render(Format.OPENAI_CHAT, made, Options(**options))
    return line.reason if isinstance(line, Skipped) else json.loads(line)


def test_a_conversation_is_one_object_with_its_messages():
    line = render(Format.OPENAI_CHAT, PLAIN, AS_RECORDED)
    assert line == (
        b'{"messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"Hello?"},'
        b'{"role":"assistant","content":"Hi."}]}\n'
    )


@pytest.mark.parametrize("name", sorted(EVERY_SHAPE.keys() - {"dotted name", "half a character"}))
def test_every_line_is_one_line_by_every_rule_and_passes_the_check_of_ready_lines(name):
    line = render(Format.OPENAI_CHAT, EVERY_SHAPE[name], AS_RECORDED)
    assert isinstance(line, bytes)
    assert line.endswith(b"}\n")
    assert line.count(b"\n") == 1
    assert len(line.decode().splitlines()) == 1
    assert check(line) is None


def test_the_same_example_gives_the_same_bytes():
    assert render(Format.OPENAI_CHAT, PARALLEL_CALLS, AS_RECORDED) == render(
        Format.OPENAI_CHAT, PARALLEL_CALLS, AS_RECORDED
    )


def test_arguments_stay_text_to_the_byte():
    line = chat(PARALLEL_CALLS)
    asked = line["messages"][2]
    assert asked["content"] == "Looking."
    assert [each["function"]["arguments"] for each in asked["tool_calls"]] == [LONG_NUMBER, '{"city":"Oslo"}']
    assert [(each["tool_call_id"], each["content"]) for each in line["messages"][3:5]] == [
        ("call_2", "cold"),
        ("call_1", "warm"),
    ]
    assert line["tools"][0]["function"]["name"] == "weather"


def test_a_schema_of_several_lines_stands_on_one():
    line = render(Format.OPENAI_CHAT, ENDS_ON_CALL, AS_RECORDED)
    assert b'"parameters":{   "type": "object",' in line
    assert json.loads(line)["tools"][0]["function"]["parameters"] == json.loads(WEATHER.parameters_json_schema)


def test_a_function_without_arguments_has_the_schema_of_an_empty_object():
    made = example(user("Time?"), assistant(call("c", "", "now")), tools=(FunctionTool("now", strict=True),))
    line = chat(made)
    assert line["tools"][0]["function"] == {
        "name": "now",
        "parameters": {"type": "object", "properties": {}},
        "strict": True,
    }
    assert line["messages"][1]["content"] is None
    assert line["messages"][1]["tool_calls"][0]["function"]["arguments"] == "{}"


@pytest.mark.parametrize("parallel", [True, False])
def test_whether_calls_may_come_in_parallel_is_told_if_the_caller_said_so(parallel):
    assert (
        chat(with_choice(PARALLEL_CALLS, ToolChoice(parallel_tool_calls=parallel)))["parallel_tool_calls"] is parallel
    )
    assert "parallel_tool_calls" not in chat(PARALLEL_CALLS)
    assert "parallel_tool_calls" not in chat(with_choice(PLAIN, ToolChoice(parallel_tool_calls=parallel)))


def test_the_developer_stays_the_developer():
    assert chat(DEVELOPER)["messages"][0]["role"] == "developer"


def test_instructions_can_be_left_out():
    assert [message["role"] for message in chat(DEVELOPER, drop_system=True)["messages"]] == ["user", "assistant"]
    assert chat(example(system("Speak."), assistant("Yes.")), drop_system=True) == SkipReason.NO_CONTENT


def test_consecutive_turns_stay_unless_they_are_to_be_merged():
    assert len(chat(TWO_USERS)["messages"]) == 3
    assert chat(TWO_USERS, merge_turns=True)["messages"][0]["content"] == "Hello?\n\nAnybody?"


@pytest.mark.parametrize("more", [(), PICTURE.request.messages[0].parts], ids=["text", "pictures"])
def test_merged_turns_of_two_participants_are_neithers(more):
    ann, bob = replace(user("Hello?"), name="ann"), replace(user("Anybody?", *more), name="bob")
    both = chat(example(ann, bob, assistant("Hi.")), merge_turns=True)["messages"]
    assert [message["role"] for message in both] == ["user", "assistant"]
    assert "name" not in both[0]
    again = replace(bob, name="ann")
    assert chat(example(ann, again, assistant("Hi.")), merge_turns=True)["messages"][0]["name"] == "ann"
    assert chat(example(ann, bob, again, assistant("Hi.")), merge_turns=True)["messages"][0].get("name") is None


def test_an_answer_goes_on_where_a_prefill_ends():
    made = example(user("Count."), assistant("One, "), assistant("two."))
    assert chat(made, merge_turns=True)["messages"][1:] == [{"role": "assistant", "content": "One, two."}]


def test_an_answer_goes_on_thinking_where_a_prefill_ends():
    begun = assistant(ReasoningPart(text="From one."), "One, ")
    made = example(user("Count."), begun, assistant(ReasoningPart(text="Then two."), "two."))
    answer = chat(made, merge_turns=True, reasoning=ReasoningOutput.FIELD)["messages"][-1]
    assert (answer["reasoning_content"], answer["content"]) == ("From one.\n\nThen two.", "One, two.")


def test_merged_turns_keep_their_pictures_in_order():
    picture = PICTURE.request.messages[0]
    made = example(user("Look."), picture, assistant("A pixel."))
    content = chat(made, merge_turns=True)["messages"][0]["content"]
    assert [part["type"] for part in content] == ["text", "text", "image_url", "text"]


def test_thinking_is_left_out_unless_asked_for():
    assert chat(REASONING)["messages"][-1] == {"role": "assistant", "content": "4"}
    in_field = chat(REASONING, reasoning=ReasoningOutput.FIELD)["messages"][-1]
    assert in_field == {"role": "assistant", "content": "4", "reasoning_content": "Two and two."}
    in_tags = chat(REASONING, reasoning=ReasoningOutput.THINK_TAGS)["messages"][-1]
    assert in_tags == {"role": "assistant", "content": "<think>\nTwo and two.\n</think>\n\n4"}


@pytest.mark.parametrize(
    ("thought", "text"), [("a </think> b", "4"), ("a <think> b", "4"), ("Hm.", "</think> ends it."), ("<think>", "")]
)
def test_thinking_that_its_tags_would_not_hold_is_told(thought, text):
    answer = assistant(ReasoningPart(text=thought), *([text] if text else [call("a")]))
    made = example(user("What ends thinking?"), answer)
    assert chat(made, reasoning=ReasoningOutput.THINK_TAGS) == SkipReason.TAGS_IN_THINKING
    assert chat(made, reasoning=ReasoningOutput.FIELD)["messages"][-1]["reasoning_content"] == thought


def test_tags_that_a_model_wrote_itself_stay():
    made = example(user("2+2?"), assistant("<think>Hm.</think>4"))
    assert chat(made, reasoning=ReasoningOutput.THINK_TAGS)["messages"][-1]["content"] == "<think>Hm.</think>4"


def test_an_answer_of_thinking_alone_is_none():
    made = example(user("2+2?"), assistant(ReasoningPart(text="Hm.")))
    assert chat(made, reasoning=ReasoningOutput.FIELD) == SkipReason.EMPTY_MESSAGE


def test_a_refusal_is_what_was_said():
    assert chat(example(user("Evil?"), assistant(RefusalPart(text="No."))))["messages"][-1]["content"] == "No."


def test_the_demonstration_takes_the_place_of_the_answer_if_asked_for():
    made = replace(PLAIN, demonstration=assistant("Good day."))
    assert chat(made)["messages"][-1]["content"] == "Hi."
    assert chat(made, prefer_demonstration=True)["messages"][-1]["content"] == "Good day."
    assert chat(PLAIN, prefer_demonstration=True)["messages"][-1]["content"] == "Hi."
    assert chat(replace(made, demonstration=user("?")), prefer_demonstration=True) == SkipReason.MISPLACED_PART


def test_a_picture_is_a_part_by_its_bytes_or_its_address():
    content = chat(PICTURE)["messages"][0]["content"]
    assert content[0] == {"type": "text", "text": "What is this?"}
    assert content[1]["image_url"]["url"].startswith("data:image/png;base64,iVBORw0")
    far = MediaPart(kind=MediaKind.IMAGE, uri="https://example.com/a.png", detail=MediaDetail.LOW)
    assert chat(example(user(far), assistant("A.")))["messages"][0]["content"] == [
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "low"}}
    ]


PDF = MediaPart(kind=MediaKind.DOCUMENT, data=b"%PDF", media_type="application/pdf")
UPLOADED = MediaPart(kind=MediaKind.IMAGE, file_id="file-1")
OPAQUE = OpaquePart(provider_kind="anthropic", type="server_tool_use", value={})
SEARCH = (ProviderTool("anthropic", "web_search", {}),)
CALLS = assistant(call("a"), call("b"))
MISFITS = {
    "no content": (replace(PLAIN, request=replace(PLAIN.request, messages=())), SkipReason.NO_CONTENT),
    "no answer": (replace(PLAIN, candidates=()), SkipReason.NO_ANSWER),
    "nothing said": (example(user("Hello?"), assistant()), SkipReason.EMPTY_MESSAGE),
    "white space": (example(user("Hello?"), assistant(" \n ")), SkipReason.EMPTY_MESSAGE),
    "a picture in somebody's cloud": (
        example(user(MediaPart(kind=MediaKind.IMAGE, uri="gs://bucket/a.png")), assistant("A.")),
        SkipReason.MEDIA_NOT_SUPPORTED,
    ),
    "an empty text": (example(user(""), assistant("Hi.")), SkipReason.EMPTY_MESSAGE),
    "a document": (example(user(PDF), assistant("Hi.")), SkipReason.MEDIA_NOT_SUPPORTED),
    "an uploaded picture": (example(user(UPLOADED), assistant("Hi.")), SkipReason.MEDIA_NOT_SUPPORTED),
    "a picture as an answer": (example(user("Draw."), PICTURE.request.messages[0]), SkipReason.MISPLACED_PART),
    "a drawn answer": (
        example(user("Draw."), assistant(*PICTURE.request.messages[0].parts)),
        SkipReason.MEDIA_NOT_SUPPORTED,
    ),
    "a provider's block": (example(user("Hello?"), assistant("Hi.", OPAQUE)), SkipReason.OPAQUE_PART),
    "a provider's tool": (example(user("Hello?"), assistant("Hi."), tools=SEARCH), SkipReason.PROVIDER_TOOL),
    "a schema that is a list": (
        example(user("Hello?"), assistant("Hi."), tools=(FunctionTool("f", "", "[]"),)),
        SkipReason.TOOL_SCHEMA_INVALID,
    ),
    "arguments cut short": (example(user("Hello?"), assistant(call("a", '{"city":'))), SkipReason.ARGUMENTS_NOT_JSON),
    "arguments with NaN": (example(user("Hello?"), assistant(call("a", '{"n":NaN}'))), SkipReason.ARGUMENTS_NOT_JSON),
    "a list of arguments": (example(user("Hello?"), assistant(call("a", "[1]"))), SkipReason.ARGUMENTS_NOT_JSON),
    "arguments too deep": (
        example(user("Hello?"), assistant(call("a", '{"a":' + "[" * 100_000 + "]" * 100_000 + "}"))),
        SkipReason.ARGUMENTS_NOT_JSON,
    ),
    "a call nobody answered": (
        example(user("W?"), CALLS, results(("a", "warm")), assistant("Hi.")),
        SkipReason.UNANSWERED_TOOL_CALL,
    ),
    "a result nobody asked for": (
        example(user("W?"), CALLS, results(("a", "1"), ("b", "2"), ("c", "3")), assistant("Hi.")),
        SkipReason.ORPHAN_TOOL_RESULT,
    ),
    "a result twice": (
        example(user("W?"), CALLS, results(("a", "1"), ("a", "2")), assistant("Hi.")),
        SkipReason.ORPHAN_TOOL_RESULT,
    ),
    "two calls of one id": (example(user("W?"), assistant(call("a"), call("a"))), SkipReason.DUPLICATE_TOOL_CALL),
    "a call by the user": (example(user(call("a")), assistant("Hi.")), SkipReason.MISPLACED_PART),
    "a text by a tool": (
        example(user("W?"), assistant(call("a")), said(Role.TOOL, "warm"), assistant("Hi.")),
        SkipReason.MISPLACED_PART,
    ),
}


@pytest.mark.parametrize(("made", "reason"), MISFITS.values(), ids=MISFITS)
def test_what_no_reader_takes_is_left_out_with_its_reason(made, reason):
    assert chat(made) == reason


def test_an_id_may_come_again_in_a_later_turn():
    turn = (assistant(call("a")), results(("a", "warm")))
    assert isinstance(chat(example(user("W?"), *turn, user("Now?"), *turn, assistant("Warm."))), dict)


def test_the_longest_examples_are_left_out_by_the_providers_count_or_an_estimate():
    assert isinstance(chat(COUNTED, max_tokens=100), dict)
    assert chat(COUNTED, max_tokens=99) == SkipReason.TOO_MANY_TOKENS
    assert isinstance(chat(MULTI_TURN, max_tokens=60), dict)
    assert chat(HUGE, max_tokens=100_000) == SkipReason.TOO_MANY_TOKENS
    demonstrated = replace(COUNTED, demonstration=assistant("Yes."))
    assert isinstance(chat(demonstrated, max_tokens=99, prefer_demonstration=True), dict)


def test_line_ends_of_unicode_are_escaped_and_come_back():
    line = render(Format.OPENAI_CHAT, ODD_TEXT, AS_RECORDED)
    assert rb"a\u2028b\u2029c\u0085d\u0000e\r\nf" in line
    assert json.loads(line)["messages"][0]["content"] == ODD_TEXT.request.messages[0].parts[0].text


DAMAGES = {
    "nothing": (b"", SkipReason.DAMAGED),
    "no line end": (b'{"messages":[]}', SkipReason.DAMAGED),
    "two lines": (b'{"messages":\n[]}\n', SkipReason.DAMAGED),
    "cut short": (b'{"messages":[{"role":"user"\n', SkipReason.DAMAGED),
    "another object": (b'{"text":"a"}\n', SkipReason.DAMAGED),
    "an unknown field": (b'{"messages":[],"more":1}\n', SkipReason.DAMAGED),
    "no messages": (b'{"messages":[]}\n', SkipReason.NO_ANSWER),
    "too deep": (b'{"messages":' + b"[" * 100_000 + b"]" * 100_000 + b"}\n", SkipReason.DAMAGED),
    "no answer": (b'{"messages":[{"role":"user","content":"a"}]}\n', SkipReason.NO_ANSWER),
    "nothing said": (b'{"messages":[{"role":"assistant","content":""}]}\n', SkipReason.EMPTY_MESSAGE),
    "a name that fine-tuning refuses": (
        b'{"messages":[{"role":"assistant","content":null,"tool_calls":[%b]}]}\n'
        % b'{"id":"a","type":"function","function":{"name":"a.b","arguments":"{}"}}',
        SkipReason.TOOL_NAME_INVALID,
    ),
    "orphan": (
        b'{"messages":[{"role":"tool","content":"a","tool_call_id":"x"},{"role":"assistant","content":"a"}]}\n',
        SkipReason.ORPHAN_TOOL_RESULT,
    ),
}


@pytest.mark.parametrize(("line", "reason"), DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_ready_line_does_not_leave(line, reason):
    assert check(line) == Skipped(reason)


@pytest.mark.parametrize("name", ["parallel calls", "plain", "picture"])
def test_a_ready_line_cut_anywhere_does_not_leave(name):
    line = render(Format.OPENAI_CHAT, EVERY_SHAPE[name], AS_RECORDED)
    assert all(check(line[:end]) is not None for end in range(len(line)))


def test_calls_of_a_ready_line_are_paired():
    def ready(*answered):
        asked = b'{"role":"assistant","content":null,"tool_calls":[%b]}'
        one = b'{"id":"%b","type":"function","function":{"name":"f","arguments":"{}"}}'
        tools = b"".join(b'{"role":"tool","content":"","tool_call_id":"%b"},' % each for each in answered)
        calls = asked % (one % b"a" + b"," + one % b"b")
        return check(b'{"messages":[' + calls + b"," + tools + b'{"role":"assistant","content":"x"}]}\n')

    assert ready(b"b", b"a") is None
    assert ready(b"a") == Skipped(SkipReason.UNANSWERED_TOOL_CALL)
    assert ready(b"a", b"a", b"b") == Skipped(SkipReason.ORPHAN_TOOL_RESULT)
