"""What the items of a response mean, also where servers leave out numbers, ids or whole events."""

from hypothesis import given
from hypothesis import strategies as st

from llmproxy_grpc.messages import RefusalPart, TextPart, ToolCallPart
from tests.unit.providers.responses_api.events import (
    CALL,
    added,
    answer,
    arguments,
    done,
    ended,
    event,
    message,
    parts,
    text,
    whole,
)


def test_texts_by_their_number_by_their_id_or_by_neither():
    for names in ({"output_index": 0}, {"item_id": "msg_1"}, {"output_index": 0, "item_id": "other"}, {}):
        assert parts(added({"type": "message", "id": "msg_1"}, output_index=0), text("a", **names)) == (
            TextPart(text="a"),
        )


def test_a_text_that_was_never_begun_is_a_text_all_the_same():
    assert parts(text("a"), text("b"), done(message("ab"))) == (TextPart(text="ab"),)


def test_each_piece_of_a_messages_content_is_a_part_of_its_own():
    expected = (TextPart(text="ab"), TextPart(text="c"), RefusalPart(text="No."))
    assert (
        parts(
            added({"type": "message"}, output_index=0),
            text("a", output_index=0, content_index=0),
            text("b", output_index=0, content_index=0),
            text("c", output_index=0, content_index=1),
            event("response.refusal.delta", delta="No.", output_index=0, content_index=2),
        )
        == expected
    )
    refusal = {"type": "refusal", "refusal": "No."}
    assert whole({"type": "message", "content": [*message("ab", "c")["content"], refusal, "odd"]}) == expected


def test_two_messages_are_two_parts():
    assert parts(
        added(message(id="m1")), text("a", item_id="m1"), done(message("a", id="m1")),
        added(message(id="m2")), text("b", item_id="m2"), done(message("b", id="m2")),
    ) == (TextPart(text="a"), TextPart(text="b"))  # fmt: skip


def test_what_is_said_twice_counts_once():
    first = added(message(id="m1"), output_index=0)
    created = event("response.created", response={"id": "r", "status": "in_progress"})
    last = done(message("a", id="m1"), output_index=0)
    assert parts(created, first, created, first, text("a", output_index=0), created, last, last) == (
        TextPart(text="a"),
    )


def test_parallel_calls_without_numbers_and_ids_go_one_after_the_other():
    calls = [{**CALL, "call_id": f"call_{n}", "id": None} for n in (1, 2)]
    events = []
    for n, call in enumerate(calls):
        events += [added(call), arguments(f'{{"n":{n}}}', item_id=f"fc_{n}"), done({**call, "arguments": "ignored"})]
    assert parts(*events) == tuple(
        ToolCallPart(id=f"call_{n + 1}", name="f", arguments_json=f'{{"n":{n}}}') for n in (0, 1)
    )


def test_calls_whose_pieces_are_mixed_are_told_apart_by_their_numbers():
    first, second = ({**CALL, "id": f"fc_{n}", "call_id": f"call_{n}"} for n in (0, 1))
    assert parts(
        added(first, output_index=0),
        added(second, output_index=1),
        arguments("[1", output_index=0),
        arguments("[2", output_index=1),
        arguments(",3]", output_index=0),
        arguments("]", output_index=1),
    ) == (
        ToolCallPart(id="call_0", name="f", arguments_json="[1,3]"),
        ToolCallPart(id="call_1", name="f", arguments_json="[2]"),
    )


def test_items_that_all_have_the_same_number_are_told_apart_by_their_ids():
    first, second = ({**CALL, "id": f"fc_{n}", "call_id": f"call_{n}"} for n in (0, 1))
    events = []
    for call in (first, second):
        events += [added(call, output_index=0), arguments(call["id"], output_index=0, item_id=call["id"])]
        events.append(done({**call, "arguments": call["id"]}, output_index=0))
    assert [part.arguments_json for part in parts(*events)] == ["fc_0", "fc_1"]


def test_a_call_that_comes_at_once_has_its_arguments():
    call = {**CALL, "arguments": '{"a": 1}'}
    expected = (ToolCallPart(id="call_1", name="f", arguments_json='{"a": 1}'),)
    assert parts(done(call)) == expected
    assert parts(added({**CALL, "arguments": None}), done(call)) == expected
    assert whole(call) == expected


def test_arguments_that_a_server_made_an_object_of_are_text_of_the_same_bytes():
    call = {**CALL, "arguments": {"a": 1}}
    expected = (ToolCallPart(id="call_1", name="f", arguments_json='{"a": 1}'),)
    assert whole(call) == expected
    assert parts(added(CALL), done(call)) == answer(ended(output=[call])).candidates[0].message.parts == expected


def test_arguments_beside_what_is_no_item_are_text_all_the_same():
    assert whole("no item", {**CALL, "arguments": {"a": 1}})[0].arguments_json == '{"a":1}'


def test_half_a_character_beside_arguments_that_are_an_object_is_replaced():
    call = {**CALL, "arguments": {"a": "\ud83d"}}
    assert parts(added(CALL), done(call))[0].arguments_json == '{"a": "\\ufffd"}'


def test_a_call_without_an_id_gets_one_and_odd_ids_are_kept():
    assert whole({"type": "function_call", "name": "f", "arguments": "{}"})[0].id == "call_new0"
    odd = "call_ü " + "x" * 100
    assert whole({**CALL, "call_id": odd})[0].id == odd


def test_arguments_of_no_call_are_nobodys():
    assert parts(arguments("{}"), text("a")) == (TextPart(text="a"),)


def test_free_input_of_a_custom_tool_is_marked():
    call = {"type": "custom_tool_call", "call_id": "c", "name": "sql", "input": ""}
    token = b'{"type":"custom_tool_call"}'
    expected = (ToolCallPart(id="c", name="sql", arguments_json="SELECT 1", continuity_token=token),)
    assert parts(added(call), event("response.custom_tool_call_input.delta", delta="SELECT 1"), done(call)) == expected
    assert whole({**call, "input": "SELECT 1"}) == expected


def test_whose_tool_a_call_is_may_be_told_at_its_end():
    (call,) = parts(added(CALL), arguments("{}"), done({**CALL, "namespace": "crm"}))
    assert call == ToolCallPart(id="call_1", name="f", arguments_json="{}", continuity_token=b'{"namespace":"crm"}')
    assert whole({**CALL, "namespace": "crm"})[0].continuity_token == b'{"namespace":"crm"}'


@given(
    pieces=st.lists(st.tuples(st.integers(0, 2), st.text(max_size=4)), max_size=12),
    numbered=st.booleans(),
)
def test_mixed_pieces_of_calls_add_up_however_they_come(pieces, numbered):
    calls = [{**CALL, "id": f"fc_{n}", "call_id": f"call_{n}"} for n in range(3)]
    events = [added(call, output_index=n if numbered else None) for n, call in enumerate(calls)]
    for n, piece in pieces:
        events.append(arguments(piece, **({"output_index": n} if numbered else {"item_id": f"fc_{n}"})))
    expected = ["".join(piece for at, piece in pieces if at == n) for n in range(3)]
    assert [part.arguments_json for part in parts(*events)] == expected
