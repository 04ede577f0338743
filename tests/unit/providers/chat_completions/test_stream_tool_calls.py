import time
import tracemalloc

import pytest

from llmproxy_grpc.errors import UpstreamProtocolError
from llmproxy_grpc.messages import FinishReason, ToolCallDelta, ToolCallPart
from llmproxy_grpc.providers.chat_completions.history import CUSTOM_CALL
from llmproxy_grpc.providers.extent import MOST_HELD
from llmproxy_grpc.providers.sse import ServerSentEvent
from tests.unit.providers.chat_completions.chunks import answer, decoder, delta, fragment, parts, run


def test_fragments_of_calls_are_put_together_by_index():
    assert parts(
        fragment("", id="a", name="f", index=0),
        fragment('{"x"', index=0),
        fragment("", id="b", name="g", index=1),
        fragment(":1}", index=0),
        fragment("{}", index=1),
    ) == (
        ToolCallPart(id="a", name="f", arguments_json='{"x":1}'),
        ToolCallPart(id="b", name="g", arguments_json="{}"),
    )


def test_a_new_id_is_a_new_call_though_the_index_stays_zero():
    assert parts(
        fragment("{}", id="a", name="f", index=0),
        fragment('{"x":', id="b", name="f", index=0),
        fragment("1}", index=0),
    ) == (
        ToolCallPart(id="a", name="f", arguments_json="{}"),
        ToolCallPart(id="b", name="f", arguments_json='{"x":1}'),
    )


def test_without_index_arguments_continue_the_last_call():
    assert parts(
        fragment("", id="a", name="f"), fragment("{"), fragment("}"), fragment("", id="b", name="g"), fragment("[]")
    ) == (
        ToolCallPart(id="a", name="f", arguments_json="{}"),
        ToolCallPart(id="b", name="g", arguments_json="[]"),
    )


def test_id_and_name_in_every_fragment_are_set_and_not_appended():
    assert parts(
        fragment("{", id="a", name="f", index=0),
        fragment('"x":1', id="a", name="f", index=0),
        fragment("}", id="a", name="f", index=0),
    ) == (ToolCallPart(id="a", name="f", arguments_json='{"x":1}'),)


def test_an_id_brings_back_its_call_whatever_came_between():
    assert parts(
        fragment("{", id="a", name="f"), fragment("[", id="b", name="g"), fragment("}", id="a"), fragment("]", id="b")
    ) == (ToolCallPart(id="a", name="f", arguments_json="{}"), ToolCallPart(id="b", name="g", arguments_json="[]"))


@pytest.mark.parametrize("absent", [{}, {"id": None}, {"id": ""}])
def test_a_call_without_id_gets_one_that_stays(absent):
    assert parts(
        fragment("{", name="f", index=0, **absent),
        fragment("}", index=0, **absent),
        fragment("[]", name="g", index=1, **absent),
    ) == (
        ToolCallPart(id="call_new0", name="f", arguments_json="{}"),
        ToolCallPart(id="call_new1", name="g", arguments_json="[]"),
    )


def test_another_name_under_the_same_index_is_another_call():
    assert [part.name for part in parts(fragment("{}", name="f", index=0), fragment("{}", name="g", index=0))] == [
        "f",
        "g",
    ]


def twice(*fields, name="f"):
    return delta(tool_calls=[{"index": 0, "function": {"name": name, **each}} for each in fields])


def test_two_entries_of_one_delta_are_two_calls():
    expected = [('{"a":1}', "f"), ('{"a":2}', "f")]
    for events in (
        (twice({"arguments": '{"a":1}'}, {"arguments": '{"a":2}'}),),
        (twice({"arguments": '{"a":1}'}, {"arguments": '{"a":'}), fragment("2}", index=0)),
        (twice({"arguments": '{"a":1}'}, {"arguments": ""}), fragment('{"a":2}', index=0)),
        (twice({"arguments": {"a": 1}}, {"arguments": {"a": 2}}),),
    ):
        called = parts(*events)
        assert [(part.arguments_json.replace(" ", ""), part.name) for part in called] == expected
        assert len({part.id for part in called}) == 2


def test_a_nameless_entry_of_one_delta_continues_the_one_before_it():
    calls = [{"index": 0, "function": {"name": "f", "arguments": "{"}}, {"index": 0, "function": {"arguments": "}"}}]
    assert parts(delta(tool_calls=calls)) == (ToolCallPart(id="call_new0", name="f", arguments_json="{}"),)


@pytest.mark.parametrize(
    "pieces",
    [
        [("f", '{"a":1}'), ("f", '{"b":2}')],
        [("f", '{"a"'), ("f", ":1}"), ("f", '{"b"'), ("f", ":2}")],
        [("f", ""), (None, '{"a":1}'), (None, "\n"), ("f", ""), (None, ""), (None, '{"b"'), (None, ":2}"), ("f", "")],
    ],
)
def test_a_name_that_comes_again_behind_whole_arguments_opens_a_call(pieces):
    called = parts(*(fragment(text, name=name, index=0) for name, text in pieces))
    assert [(part.name, part.arguments_json.strip()) for part in called] == [("f", '{"a":1}'), ("f", '{"b":2}')]


def test_a_name_that_comes_again_within_arguments_opens_none():
    pieces = ['{"a":', '{"}":"{}', "}", '"}', "}", "", " "]
    (call,) = parts(*(fragment(text, name="f", index=0) for text in pieces))
    assert call.arguments_json == "".join(pieces)


def test_a_late_id_does_not_change_the_one_given_out():
    assert parts(fragment("{", name="f", index=0), fragment("}", index=0, id="late")) == (
        ToolCallPart(id="call_new0", name="f", arguments_json="{}"),
    )


def test_a_call_waits_for_its_name():
    events = run(fragment("{", id="a", index=0), fragment("}", name="f", index=0), delta("stop"), each_alone=True)
    assert events[0] == ToolCallDelta(id="a", name="f", arguments_json="{}")


def test_a_call_that_never_got_a_name_is_not_lost():
    assert parts(fragment("{}", id="a", index=0)) == (ToolCallPart(id="a", name="", arguments_json="{}"),)


def test_a_call_without_arguments_has_none():
    assert parts(fragment(None, id="a", name="f", index=0)) == (ToolCallPart(id="a", name="f", arguments_json=""),)


def test_arguments_may_come_as_an_object():
    assert parts(fragment({"x": 1}, id="a", name="f")) == (ToolCallPart(id="a", name="f", arguments_json='{"x": 1}'),)


@pytest.mark.parametrize(
    "text", ['{"x":1.10,"z":1e2}', '{"a":1,"a":2}', '{"whole": "\\ud83e\\udd9c"}', "[ 1.0 ]", "7.0"]
)
def test_arguments_that_came_as_an_object_keep_their_bytes(text):
    chunk = fragment("@", id="a", name="f")
    chunk = ServerSentEvent("", chunk.data.replace(b'"@"', text.encode()))
    assert parts(chunk) == (ToolCallPart(id="a", name="f", arguments_json=text),)


def test_an_object_beside_text_and_nothing():
    calls = [{"index": index, "id": name, "function": {"name": name}} for index, name in enumerate("abc")]
    calls[0]["function"]["arguments"] = {"x": 1}
    calls[1]["function"]["arguments"] = '{"y": '
    calls[2]["function"]["arguments"] = None
    called = parts(delta(tool_calls=calls), fragment("2}", index=1))
    assert [part.arguments_json for part in called] == ['{"x": 1}', '{"y": 2}', ""]


def test_half_a_character_beside_an_object_is_replaced():
    call = {"index": 0, "id": "a", "function": {"name": "f", "arguments": {"x": "\ud83d"}}}
    text, called = parts(delta(content="a\ud83d", tool_calls=[call]))
    assert (text.text, called.arguments_json) == ("a\ufffd", '{"x": "\\ufffd"}')


def test_a_legacy_call_beside_the_new_form_counts_once():
    both = {
        "tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}}],
        "function_call": {"name": "f", "arguments": "{}"},
    }
    assert parts(delta(**both)) == (ToolCallPart(id="a", name="f", arguments_json="{}"),)
    later = delta(function_call={"arguments": "{}"})
    assert len(parts(fragment("{}", id="a", name="f"), later)) == 1


def test_a_legacy_call_alone_is_a_call():
    assert parts(delta(function_call={"name": "f", "arguments": ""}), delta(function_call={"arguments": "{}"})) == (
        ToolCallPart(id="call_new0", name="f", arguments_json="{}"),
    )


def test_a_custom_call_is_marked():
    events = (
        delta(tool_calls=[{"index": 0, "id": "a", "type": "custom", "custom": {"name": "sh", "input": "l"}}]),
        delta(tool_calls=[{"index": 0, "custom": {"input": "s"}}]),
    )
    assert parts(*events) == (ToolCallPart(id="a", name="sh", arguments_json="ls", continuity_token=CUSTOM_CALL),)


def test_stop_after_tool_calls_waits_for_their_results():
    (candidate,) = answer(fragment("{}", id="a", name="f"), delta("stop")).candidates
    assert (candidate.finish_reason, candidate.raw_finish_reason) == (FinishReason.TOOL_CALLS, "stop")


def test_calls_that_come_behind_the_finish_reason_count():
    (candidate,) = answer(delta("stop"), fragment("{}", id="a", name="f")).candidates
    assert candidate.finish_reason is FinishReason.TOOL_CALLS


# Servers that are broken, or mean harm. The times are this process's own; quadratic, each was 8 seconds or more.


def test_many_calls_of_one_delta_take_linear_time():
    one = {"index": 0, "function": {"name": "f"}}
    started = time.process_time()
    with pytest.raises(UpstreamProtocolError, match="more than 1,024 tool calls"):
        run(delta(tool_calls=[one] * 30_000), delta("stop"))
    assert time.process_time() - started < 2


@pytest.mark.parametrize(
    ("first", "more"),
    [
        (fragment("x" * 8_000_000, id="a", index=0), fragment("x", id="a", index=0)),
        (fragment('{"a":"' + "x" * 8_000_000, name="f", index=0), fragment("}", name="f", index=0)),
    ],
    ids=["before the name", "without an id"],
)
def test_many_small_fragments_behind_a_long_one_take_linear_time(first, more):
    started = time.process_time()
    run(first, *[more] * 4000, delta("stop"))
    assert time.process_time() - started < 2


@pytest.mark.parametrize("candidate", [0, 1], ids=["of one candidate", "of several"])
def test_arguments_without_a_name_are_held_up_to_a_bound_for_all_calls_of_a_stream(candidate):
    half = "x" * (MOST_HELD // 2)
    decoding = decoder()
    decoding.feed([fragment(half, id="a", index=0), fragment(half, id="b", index=1, choice=candidate)])
    with pytest.raises(UpstreamProtocolError):
        decoding.feed([fragment("x", id="a", index=0)])


@pytest.mark.parametrize("text", ["", "ab"], ids=["empty", "small"])
@pytest.mark.parametrize("named", [{"id": "a"}, {"name": "f"}], ids=["without a name", "without an id"])
def test_pieces_of_arguments_take_no_more_room_than_their_characters(text, named):
    decoding = decoder()
    decoding.feed([fragment("{", index=0, **named)])
    piece = [fragment(text, index=0)]
    decoding.feed(piece)
    decoding.take()
    tracemalloc.start()
    try:
        for _ in range(20_000):
            decoding.feed(piece)
            decoding.take()
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 100_000  # a list of the pieces: 1.4 MB, and 0.16 MB of its places alone


def test_calls_without_an_id_are_looked_at_up_to_a_bound_for_all_of_a_stream():
    decoding = decoder()
    half = '{"a":"' + "x" * (MOST_HELD // 2)
    tracemalloc.start()
    try:
        for number in range(6):
            decoding.feed([fragment(half, name="f", index=number)])
            decoding.take()
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 2 * MOST_HELD


def test_arguments_that_come_with_a_name_are_not_held():
    whole = "x" * (MOST_HELD // 2)
    assert len(parts(*(fragment(whole, id=str(number), name="f", index=number) for number in range(3)))) == 3
