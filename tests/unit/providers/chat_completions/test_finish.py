import pytest

from llmproxy_grpc.messages import FinishReason
from llmproxy_grpc.providers.chat_completions.finish import Finish, finish


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("stop", FinishReason.STOP),
        ("eos", FinishReason.STOP),
        ("length", FinishReason.MAX_TOKENS),
        ("model_length", FinishReason.CONTEXT_WINDOW),
        ("tool_calls", FinishReason.TOOL_CALLS),
        ("function_call", FinishReason.TOOL_CALLS),
        ("content_filter", FinishReason.CONTENT_FILTER),
        ("stop_sequence", FinishReason.STOP_SEQUENCE),
        ("refusal", FinishReason.REFUSAL),
        ("insufficient_system_resource", FinishReason.OTHER),
        ("a word of next year", FinishReason.OTHER),
        ("", FinishReason.OTHER),
    ],
)
def test_each_word_has_its_reason_and_is_kept(raw, reason):
    assert finish(raw, tool_calls=False, refused=False) == Finish(reason, raw)


@pytest.mark.parametrize("raw", ["stop", ""])
def test_stop_with_tool_calls_waits_for_their_results(raw):
    assert finish(raw, tool_calls=True, refused=False).reason is FinishReason.TOOL_CALLS


def test_an_answer_cut_off_within_its_tool_calls_is_cut_off():
    assert finish("length", tool_calls=True, refused=False).reason is FinishReason.MAX_TOKENS


def test_stop_with_a_refusal_is_a_refusal():
    assert finish("stop", tool_calls=False, refused=True).reason is FinishReason.REFUSAL


def test_a_stop_sequence_is_told_where_the_server_tells_it():
    assert finish("stop", tool_calls=False, refused=False, matched="END") == Finish(
        FinishReason.STOP_SEQUENCE, "stop", "END"
    )


@pytest.mark.parametrize("matched", [None, "", 128009, [1]])
def test_a_stop_token_is_no_stop_sequence(matched):
    assert finish("stop", tool_calls=False, refused=False, matched=matched) == Finish(FinishReason.STOP, "stop")
