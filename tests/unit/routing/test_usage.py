import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy_grpc.messages import (
    ChatRequest,
    MediaKind,
    MediaPart,
    Message,
    OpaquePart,
    ReasoningPart,
    RefusalPart,
    Role,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    Usage,
    UsageSource,
)
from llmproxy_grpc.routing.usage import characters, estimate

PICTURE = MediaPart(kind=MediaKind.IMAGE, data=b"x" * 1000)


@pytest.mark.parametrize(
    ("part", "count"),
    [
        (TextPart(text=""), 0),
        (TextPart(text="four"), 4),
        (TextPart(text="añ😀"), 3),
        (ReasoningPart(text="hm"), 2),
        (ReasoningPart(redacted=True), 0),
        (RefusalPart(text="No."), 3),
        (ToolCallPart(id="not counted", name="add", arguments_json='{"a":1}'), 10),
        (ToolResultPart(tool_call_id="not counted", name="nor this"), 0),
        (ToolResultPart(tool_call_id="c", content=(TextPart(text="one"), PICTURE, TextPart(text="two"))), 6),
        (PICTURE, 0),
        (OpaquePart(provider_kind="openai", type="thing", value={"text": "not ours to read"}), 0),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, int) else "",
)
def test_a_part_counts_by_the_text_that_a_model_reads(part, count):
    assert characters([part]) == count


def test_parts_add_up_and_none_is_nothing():
    assert characters([]) == 0
    assert characters([TextPart(text="ab"), PICTURE, RefusalPart(text="c")]) == 3


def request(*texts):
    return ChatRequest("m", tuple(Message(Role.USER, (TextPart(text=text),)) for text in texts))


def test_an_estimate_says_that_it_is_one():
    assert estimate(request("x" * 8, "y" * 4), 9) == Usage(3, 3, 6, source=UsageSource.ESTIMATE)


def test_an_answer_that_never_began_used_its_prompt_alone():
    assert estimate(request("Hi"), 0) == Usage(1, 0, 1, source=UsageSource.ESTIMATE)


@given(st.lists(st.text(max_size=30), max_size=5), st.integers(0, 10_000))
def test_an_estimate_rounds_up_and_adds_up(texts, output):
    usage = estimate(request(*texts), output)
    prompt = sum(map(len, texts))
    assert 4 * usage.input_tokens - prompt in range(4)
    assert 4 * usage.output_tokens - output in range(4)
    assert usage.total_tokens == usage.input_tokens + usage.output_tokens
