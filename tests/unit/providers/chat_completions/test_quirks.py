import pytest
from msgspec.structs import asdict

from llmproxy_grpc.messages import ReasoningEffort
from llmproxy_grpc.providers.chat_completions.quirk_flags import overlay
from llmproxy_grpc.providers.chat_completions.quirks import COMPATIBLE, Quirks, ReasoningStyle, efforts_of


def test_flags_are_laid_over_those_of_the_preset():
    flags = {"stream_options": False, "top_k": True, "max_stop_sequences": 0, "reasoning": "object"}
    assert asdict(overlay(COMPATIBLE, flags)) == {**asdict(COMPATIBLE), **flags, "reasoning": ReasoningStyle.OBJECT}


def test_no_flags_change_nothing():
    assert overlay(COMPATIBLE, {}) == COMPATIBLE


def test_no_field_for_earlier_thinking_is_empty_text():
    assert overlay(Quirks(reasoning_replay="reasoning"), {"reasoning_replay": ""}).reasoning_replay == ""


def test_an_unknown_flag_is_named_with_those_that_exist():
    with pytest.raises(ValueError, match=r"quirks\.strem_options is unknown; the flags are .*stream_options") as raised:
        overlay(COMPATIBLE, {"strem_options": False})
    assert all(name in str(raised.value) for name in Quirks.__struct_fields__)


@pytest.mark.parametrize(
    ("flag", "value", "wanted"),
    [
        ("tools", "no", "true or false"),
        ("tools", 1, "true or false"),
        ("max_stop_sequences", True, "a whole number, 0 or more"),
        ("max_stop_sequences", -1, "a whole number, 0 or more"),
        ("max_stop_sequences", "4", "a whole number, 0 or more"),
        ("max_tokens_field", False, "the name of a field, or a path"),
        ("max_tokens_field", "", "the name of a field, or a path"),
        ("reasoning_replay", 1, "the name of a field, or a path"),
        ("count_path", True, "the name of a field, or a path"),
        ("max_embed_inputs", -1, "a whole number, 0 or more"),
        ("embeddings", "loud", "one of unsupported, float, base64"),
        ("embed_purpose", True, "one of unsupported, passage, search"),
        ("cache_hints", True, "one of unsupported, control, breakpoint"),
        ("lowest_effort", "none", "one of minimal, low, medium, high, xhigh, max"),
        ("reasoning", "loud", "one of unsupported, effort, thinking, object"),
        ("reasoning", False, "one of unsupported, effort, thinking, object"),
    ],
)
def test_a_value_that_a_flag_cannot_have_is_refused(flag, value, wanted):
    with pytest.raises(ValueError, match=rf"^quirks\.{flag} must be {wanted}$"):
        overlay(COMPATIBLE, {flag: value})


def test_the_efforts_that_a_vendor_knows_lie_between_two_and_none_stands_apart():
    quirks = overlay(COMPATIBLE, {"lowest_effort": "low", "highest_effort": "high", "effort_none": False})
    assert efforts_of(quirks) == {
        ReasoningEffort.UNSPECIFIED,
        ReasoningEffort.LOW,
        ReasoningEffort.MEDIUM,
        ReasoningEffort.HIGH,
    }
    assert efforts_of(Quirks()) == set(ReasoningEffort)
