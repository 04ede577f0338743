import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy_grpc.messages import (
    ChatRequest,
    Cost,
    EmbedRequest,
    FunctionTool,
    GenerationConfig,
    JsonSchemaFormat,
    MediaDetail,
    MediaKind,
    MediaPart,
    Message,
    Modality,
    ModalityTokens,
    OpaquePart,
    ProviderTool,
    ReasoningPart,
    RefusalPart,
    Role,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    Usage,
    UsageSource,
)
from llmproxy_grpc.messages.sizes import size_of
from llmproxy_grpc.routing.usage import FRAME, estimate, estimate_embed, prompt_tokens, sum_of

PICTURE = MediaPart(kind=MediaKind.IMAGE, data=b"x" * 1000)


@pytest.mark.parametrize(
    ("part", "size"),
    [
        (TextPart(text=""), 0),
        (TextPart(text="four"), 4),
        (TextPart(text="añ😀"), 7),
        (TextPart(text="half a character \ud83d"), 18),
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
def test_a_part_counts_by_the_text_that_a_model_reads(part, size):
    assert size_of([part]) == size


def test_parts_add_up_and_none_is_nothing():
    assert size_of([]) == 0
    assert size_of([TextPart(text="ab"), PICTURE, RefusalPart(text="c")]) == 3


def request(*texts, **fields):
    return ChatRequest("m", tuple(Message(Role.USER, (TextPart(text=text),)) for text in texts), **fields)


def test_an_estimate_says_that_it_is_one():
    usage = estimate(request("x" * 8, "y" * 4), 9)
    assert usage == Usage(3 + 2 * FRAME, 3, 6 + 2 * FRAME, source=UsageSource.ESTIMATE)


def test_an_answer_that_never_began_used_its_prompt_alone():
    assert estimate(request("Hi"), 0) == Usage(1 + FRAME, 0, 1 + FRAME, source=UsageSource.ESTIMATE)


@given(st.lists(st.text(max_size=30), max_size=5), st.integers(0, 10_000))
def test_an_estimate_rounds_up_and_adds_up(texts, output):
    usage = estimate(request(*texts), output)
    prompt = sum(len(text.encode()) for text in texts)
    assert 4 * (usage.input_tokens - FRAME * len(texts)) - prompt in range(4)
    assert 4 * usage.output_tokens - output in range(4)
    assert usage.total_tokens == usage.input_tokens + usage.output_tokens


def test_the_tools_and_the_schema_are_part_of_a_prompt():
    bare = prompt_tokens(request("Hi!!"))
    function = FunctionTool("add", "Adds.", '{"type":"object"}')
    assert prompt_tokens(request("Hi!!", tools=(function,))) == bare + FRAME + 7
    provided = ProviderTool("openai", "web_search", {"config": "not the model's to read"})
    assert prompt_tokens(request("Hi!!", tools=(provided,))) == bare + FRAME + 3
    schema = GenerationConfig(response_format=JsonSchemaFormat("answer", '{"type":"string"}'))
    assert prompt_tokens(request("Hi!!", generation=schema)) == bare + 6


@pytest.mark.parametrize(
    ("media", "tokens"),
    [
        (MediaPart(kind=MediaKind.IMAGE, uri="https://example.test/a.png"), 800),
        (MediaPart(kind=MediaKind.IMAGE, data=b"x" * 9_000_000, detail=MediaDetail.HIGH), 800),
        (MediaPart(kind=MediaKind.IMAGE, data=b"x", detail=MediaDetail.LOW), 85),
        (MediaPart(kind=MediaKind.AUDIO, data=b"x" * 16_001), 17),
        (MediaPart(kind=MediaKind.AUDIO, file_id="file-1"), 1000),
        (MediaPart(kind=MediaKind.VIDEO, data=b"x" * 5_000), 5),
        (MediaPart(kind=MediaKind.VIDEO, uri="gs://bucket/a.mp4"), 5000),
        (MediaPart(kind=MediaKind.DOCUMENT, data=b"x" * 60_000, media_type="application/pdf"), 2000),
        (MediaPart(kind=MediaKind.DOCUMENT, data=b"four and a bit more", media_type="text/plain"), 5),
        (MediaPart(kind=MediaKind.DOCUMENT, file_id="file-1"), 2000),
    ],
    ids=lambda value: value.kind.name if isinstance(value, MediaPart) else "",
)
def test_media_count_by_kind_and_size(media, tokens):
    in_prompt = ChatRequest("m", (Message(Role.USER, (media,)),))
    in_result = ChatRequest("m", (Message(Role.TOOL, (ToolResultPart(tool_call_id="c", content=(media,)),)),))
    assert prompt_tokens(in_prompt) == prompt_tokens(in_result) == FRAME + tokens


def test_inputs_to_embed_count_without_any_frame():
    usage = estimate_embed(EmbedRequest("m", (TextPart(text="12345678"), TextPart(text="1"), PICTURE)))
    assert usage == Usage(803, 0, 803, source=UsageSource.ESTIMATE)


def test_what_several_requests_used_adds_up():
    first = Usage(1, 2, 3, 4, 5, 6, (ModalityTokens(Modality.TEXT, 1, 1), ModalityTokens(Modality.IMAGE, 9, 0)))
    second = Usage(10, 20, 30, 40, 50, 60, (ModalityTokens(Modality.TEXT, 2, 3),))
    assert sum_of(None, first) is first
    assert sum_of(first, second) == Usage(
        11, 22, 33, 44, 55, 66, (ModalityTokens(Modality.TEXT, 3, 4), ModalityTokens(Modality.IMAGE, 9, 0))
    )


def test_a_sum_with_an_estimate_in_it_is_one():
    guess = Usage(1, 0, 1, source=UsageSource.ESTIMATE)
    assert sum_of(guess, Usage(1)).source is sum_of(Usage(1), guess).source is UsageSource.ESTIMATE


def test_costs_add_up_unless_one_is_not_known():
    one, other = Usage(1, cost=Cost("USD", 5)), Usage(1, cost=Cost("USD", 7))
    assert sum_of(one, other).cost == Cost("USD", 12)
    assert sum_of(one, Usage(1)).cost is None
    assert sum_of(Usage(1), other).cost is None


def test_costs_in_two_currencies_have_no_sum_unless_one_is_nothing():
    dollars, euros, free = (Usage(1, cost=Cost(*cost)) for cost in (("USD", 5), ("EUR", 7), ("USD", 0)))
    assert sum_of(dollars, euros).cost is None
    assert sum_of(free, euros).cost == sum_of(euros, free).cost == Cost("EUR", 7)
    assert sum_of(free, free).cost == Cost("USD", 0)


def test_what_is_kept_for_an_hour_adds_up():
    one = Usage(9, cache_write_input_tokens=4, cache_write_1h_input_tokens=3)
    assert sum_of(one, one).cache_write_1h_input_tokens == 6
